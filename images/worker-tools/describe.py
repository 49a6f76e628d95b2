#!/usr/bin/env python3
"""Says what the image consists of, from what goes into it.

describe.py tools TOOLS LOCK BIN                        prints tools.json
describe.py labels TOOLS.JSON                           prints the Containerfile's LABEL lines
describe.py table TOOLS.JSON                            prints the table of docs/guides/worker-tools.md
describe.py sbom TOOLS.JSON ROOTFS.TAR BIN              prints the SBOM (needs the part sbom in PYTHONPATH)
describe.py check SBOM                                  fails where it breaks CycloneDX's schema (likewise)

BIN is the folder of the tools that are no Debian packages. All that is printed depends on the
input alone: no time, no random number.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import uuid

IMAGE = "worker-tools"
SCHEMA = "1.6"
DEVELOPED = "(devel)"  # as Go calls it


def read_lock(path):
    versions = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                name, version = line.split()
                versions[name] = version
    return versions.pop("date"), versions


def upstream(version):
    """Debian's version without epoch, Debian's own revision, and the mark of sources with parts left out."""
    version = version.partition(":")[2] or version
    version = version.rpartition("-")[0] or version
    return re.sub(r"[+.~](ds|dfsg)[0-9.]*$", "", version)


def go_build(path):
    """What a Go program says of itself: toolchain, main module, modules linked into it."""
    text = subprocess.run(["go", "version", "-m", path], check=True, capture_output=True, text=True).stdout
    first, *lines = text.splitlines()
    found = {"go": first.rpartition(": go")[2], "modules": []}
    for line in lines:
        kind, _, rest = line.strip().partition("\t")
        fields = rest.split("\t")
        if kind == "mod":
            found["main"] = tuple(fields[:2])
        elif kind == "dep":
            found["modules"].append(tuple(fields[:2]))
        elif kind == "=>":
            # Replaces the line before it. A directory has no version; the module's own name stays.
            if len(fields) > 1 and fields[1]:
                found["modules"][-1] = tuple(fields[:2])
    return found


def tools(listing, lock, binaries):
    date, packages = read_lock(lock)
    found = []
    with open(listing, encoding="utf-8") as file:
        lines = [line for line in file if line.strip() and not line.startswith("#")]
    for line in lines:
        name, origin, command = (field.strip() for field in line.split("|"))
        tool = {"name": name}
        if origin == "go":
            module, version = go_build(os.path.join(binaries, name))["main"]
            tool |= {"version": version.removeprefix("v"), "from": f"Go module {module}"}
        else:
            package = origin.removeprefix("deb ")
            tool |= {"version": upstream(packages[package]), "from": f"Debian package {package} {packages[package]}"}
        found.append(tool | {"versionCommand": command.split()})
    return {"tag": date, "tools": found}


def labels(listed):
    yield "dev.longshore.worker-tools.tag", listed["tag"]
    yield "org.opencontainers.image.created", f"{listed['tag']}T00:00:00Z"
    for tool in listed["tools"]:
        yield f"dev.longshore.worker-tools.{tool['name']}", tool["version"]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def debian(listed, rootfs):
    """debsbom's list of the Debian packages, their sources, licences and dependencies."""
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"https://longshore.dev/{IMAGE}/{listed['tag']}")
    run = subprocess.run(
        [
            *(sys.executable, "-m", "debsbom.cli", "generate", "--root", rootfs, "--sbom-type", "cdx", "--out", "-"),
            *("--distro-name", IMAGE, "--distro-version", listed["tag"], "--distro-arch", "amd64"),
            *("--with-licenses", "--cdx-schema-version", SCHEMA, "--cdx-serialnumber", str(serial)),
            *("--timestamp", f"{listed['tag']}T00:00:00+00:00"),
        ],
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(run.stdout)


def golang(name, version):
    # The purl type wants lower case. What comes from the main module's own source tree has no version.
    return f"pkg:golang/{name.lower()}" + ("" if version == DEVELOPED else f"@{version.replace('+', '%2B')}")


def sbom(listed, rootfs, binaries):
    bom = debian(listed, rootfs)
    components = {component["bom-ref"]: component for component in bom["components"]}
    dependencies = {entry["ref"]: entry for entry in bom["dependencies"]}
    ours = []
    for tool in listed["tools"]:
        if not tool["from"].startswith("Go module "):
            continue
        path = os.path.join(binaries, tool["name"])
        build = go_build(path)
        purl = golang(*build["main"])
        # Not the purl alone: two programs may be built from one module.
        ref = f"{tool['name']}#{purl}"
        modules = [*build["modules"], ("stdlib", build["go"])]
        components[ref] = {
            "type": "application",
            "bom-ref": ref,
            "name": tool["name"],
            "version": tool["version"],
            "purl": purl,
            "hashes": [{"alg": "SHA-256", "content": sha256(path)}],
        }
        for module, version in modules:
            purl = golang(module, version)
            components[purl] = {"type": "library", "bom-ref": purl, "name": module, "purl": purl}
            if version != DEVELOPED:
                components[purl]["version"] = version
            dependencies.setdefault(purl, {"ref": purl})
        dependencies[ref] = {"ref": ref, "dependsOn": sorted({golang(*module) for module in modules})}
        ours.append(ref)
    image = dependencies[bom["metadata"]["component"]["bom-ref"]]
    image["dependsOn"] = sorted([*image.get("dependsOn", []), *ours])
    bom["components"] = [components[ref] for ref in sorted(components)]
    bom["dependencies"] = [dependencies[ref] for ref in sorted(dependencies)]
    return bom


def check(path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    with open(path, encoding="utf-8") as file:
        text = file.read()
    version = re.search(r'"specVersion": *"([0-9.]+)"', text)
    schema = SchemaVersion.from_version(version.group(1) if version else SCHEMA)
    if (error := JsonStrictValidator(schema).validate_str(text)) is not None:
        sys.exit(f"{path} breaks the schema of CycloneDX {schema.to_version()}: {error}")
    bom = json.loads(text)
    known = {component["bom-ref"] for component in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    named = {ref for entry in bom["dependencies"] for ref in (entry["ref"], *entry.get("dependsOn", []))}
    # The schema cannot say this.
    if unknown := sorted(named - known):
        sys.exit(f"{path} has dependencies on what it does not list: {', '.join(unknown)}")
    print(f"CycloneDX {schema.to_version()}: {len(bom['components'])} components")


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def dump(value):
    json.dump(value, sys.stdout, indent=1)
    print()


def main(arguments):
    match arguments:
        case ["tools", listing, lock, binaries]:
            dump(tools(listing, lock, binaries))
        case ["labels", listed]:
            for name, value in labels(load(listed)):
                print(f"LABEL {name}={json.dumps(value)}")
        case ["table", listed]:
            print("| tool | version | from |\n|---|---|---|")
            for tool in load(listed)["tools"]:
                print(f"| {tool['name']} | {tool['version']} | {tool['from']} |")
        case ["sbom", listed, rootfs, binaries]:
            dump(sbom(load(listed), rootfs, binaries))
        case ["check", path]:
            check(path)
        case _:
            sys.exit(__doc__.strip())


main(sys.argv[1:])
