//! The worker-tools image: that all in it works where actions run, and that what is said about it is
//! so. `make worker-tools` has built and pushed it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{example, kubectl, reason, root, run};
use crate::support::namespace::setting;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The lock list: its date, and its lines of name and version.
pub(super) fn lock() -> (String, Vec<String>) {
    let mut lines: Vec<String> = read("images/worker-tools/packages.lock")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let date = lines.remove(0).strip_prefix("date ").expect("the list begins with its date").to_owned();
    (date, lines)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// A document of the registry that the image was pushed to.
fn registry(path: &str) -> Value {
    let url = format!("http://{}/v2/worker-tools/{path}", setting("LONGSHORE_PUSH_REGISTRY"));
    let output = Command::new("curl")
        .args(["-fsSL", "-H", "Accept: application/vnd.oci.image.manifest.v1+json", &url])
        .output()
        .expect("curl in PATH");
    assert!(output.status.success(), "{url}: {}", text(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn sbom_file() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("images/worker-tools.cdx.json")
}

fn check_sbom(file: &std::path::Path) -> Output {
    Command::new(root().join("images/worker-tools/sbom.sh"))
        .arg("--check")
        .arg(file)
        .output()
        .expect("sbom.sh starts")
}

/// As `examples/`, in a namespace under Pod Security "restricted".
fn action(script: &str) -> String {
    let image = format!("{}/worker-tools:{}", setting("LONGSHORE_REGISTRY"), lock().0);
    let script = script.replace('\n', "\n      ");
    format!(
        "apiVersion: v1
kind: Namespace
metadata:
  name: worker-tools
  labels: {{pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: longshore.dev/v1alpha1
kind: DeploymentAction
metadata: {{name: all-tools, namespace: worker-tools}}
spec:
  image: {image}
  outputs:
  - {{name: tools, required: true}}
  - {{name: packages, required: true}}
  - {{name: sbom, required: true}}
  - {{name: table, required: true}}
  script:
    inline: |
      {script}
"
    )
}

const ALL_TOOLS: &str = r#"#!/usr/bin/env bash
set -euxo pipefail

# The user, and a root that cannot be written.
[ "$(id -u)" = 65532 ]
[ "$(whoami)" = worker ]
[ "$(env -u USER -u LOGNAME python3 -c 'import getpass; print(getpass.getuser())')" = worker ]
[ "$(env -u HOME python3 -c 'import os; print(os.path.expanduser("~"))')" = "$HOME" ]
if touch /usr/local/bin/probe; then exit 1; fi

worker-tools --check

# git, in the working folder itself, which belongs to root, and in one below.
git init --quiet .
echo 1 > file
git add file
git -c user.name=t -c user.email=t@example.com commit --quiet --message first
git clone --quiet . copy
[ "$(git -C copy log --format=%s)" = first ]

# ssh asks for the user's name and home before anything else.
ssh -V
ssh-keygen -q -t ed25519 -N '' -f "$HOME/key"
ssh -G example.com | grep -x 'user worker'

mkdir from
echo 2 > from/file
rsync --archive from/ to/
cmp from/file to/file
printf x | openssl dgst -sha256 | grep 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
curl --fail --silent --show-error "file:///usr/share/worker-tools/tools.json" | jq --exit-status '.tools | length > 10'
python3 -c 'import ssl; assert len(ssl.create_default_context().get_ca_certs()) > 100'

helm create chart > /dev/null
helm template chart --set replicaCount=3 | yq --exit-status 'select(.kind == "Deployment").spec.replicas == 3'
kubectl create deployment web --image=web --dry-run=client --output yaml | yq --output-format json | jq --exit-status '.kind == "Deployment"'

{
  echo "tools=$(worker-tools --json | jq --compact-output)"
  echo "packages=$(dpkg-query --show --showformat '${Package} ${Version}\n' | LC_ALL=C sort | sha256sum | cut -d ' ' -f 1)"
  echo "sbom=$(sha256sum < /usr/share/worker-tools/sbom.cdx.json | cut -d ' ' -f 1)"
  printf 'table<<END\n%s\nEND\n' "$(worker-tools)"
} >> "$LONGSHORE_OUTPUT"
"#;

/// Name, version and origin of each tool, as the documentation has them.
fn documented() -> Vec<[String; 3]> {
    let page = read("docs/guides/worker-tools.md");
    let table = page.split("<!-- tools -->").nth(1).expect("the page has a table between two marks");
    table
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|---"))
        .skip(1)
        .map(|line| {
            let cells: Vec<String> =
                line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            cells.try_into().expect("three columns")
        })
        .collect()
}

#[test]
fn every_tool_works_and_is_what_is_said_of_it() {
    let (date, packages) = lock();
    let file = std::env::temp_dir().join(format!("longshore-all-tools-{}.yaml", std::process::id()));
    std::fs::write(&file, action(ALL_TOOLS)).unwrap();
    let (_applied, action) = run(&file, "worker-tools", "all-tools");
    assert_eq!(reason(&action), "Succeeded", "{action}");
    let outputs = &action["status"]["outputs"];

    // The command in the image, and the page.
    let listed: Value = serde_json::from_str(outputs["tools"].as_str().unwrap()).expect("JSON");
    assert_eq!(listed["tag"], date);
    let tools: Vec<[String; 3]> = listed["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .map(|tool| ["name", "version", "from"].map(|field| tool[field].as_str().expect(field).to_owned()))
        .collect();
    assert_eq!(documented(), tools, "make worker-tools-update writes the table");
    let table = outputs["table"].as_str().unwrap();
    for [name, version, _] in &tools {
        assert!(
            table.lines().any(|line| line.split_whitespace().take(2).eq([name, version])),
            "{name} {version} in {table}"
        );
    }

    // What is installed is what was locked, and the list of it is the one that the build left.
    let locked = packages.join("\n") + "\n";
    assert_eq!(outputs["packages"], sha256(locked.as_bytes()));
    assert_eq!(outputs["sbom"], sha256(&std::fs::read(sbom_file()).expect("make worker-tools leaves it")));

    // The labels, and the size that the page tells.
    let manifest = registry(&format!("manifests/{date}"));
    let config = registry(&format!("blobs/{}", manifest["config"]["digest"].as_str().unwrap()));
    assert_eq!(config["config"]["User"], "65532:65532");
    let labels: BTreeMap<String, String> =
        serde_json::from_value(config["config"]["Labels"].clone()).expect("labels");
    for [name, version, _] in &tools {
        assert_eq!(labels.get(&format!("dev.longshore.worker-tools.{name}")), Some(version), "{name}");
    }
    assert_eq!(labels["dev.longshore.worker-tools.tag"], date);
    assert_eq!(labels["org.opencontainers.image.created"], format!("{date}T00:00:00Z"));
    let bytes: u64 = manifest["layers"]
        .as_array()
        .expect("layers")
        .iter()
        .map(|layer| layer["size"].as_u64().expect("a size"))
        .sum();
    let page = read("docs/guides/worker-tools.md");
    let told: u64 = page
        .split(" MB compressed")
        .next()
        .and_then(|before| before.split_whitespace().last())
        .and_then(|number| number.parse().ok())
        .expect("the page tells the compressed size");
    assert!(told.abs_diff(bytes / 1_000_000) <= told / 20, "{bytes} bytes, and the page says {told} MB");
}

#[test]
fn the_list_of_contents_is_valid_and_has_all_packages() {
    let file = sbom_file();
    let checked = check_sbom(&file);
    assert!(checked.status.success(), "{}", text(&checked));

    let sbom: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("make worker-tools leaves it")).expect("JSON");
    let (date, packages) = lock();
    assert_eq!(sbom["bomFormat"], "CycloneDX");
    assert_eq!(sbom["metadata"]["component"]["name"], "worker-tools");
    assert_eq!(sbom["metadata"]["component"]["version"], date);
    let components = sbom["components"].as_array().expect("components");
    let installed: Vec<String> = components
        .iter()
        .filter(|component| {
            let purl = component["purl"].as_str().unwrap_or_default();
            purl.starts_with("pkg:deb/debian/") && !purl.ends_with("arch=source")
        })
        .map(|component| {
            format!("{} {}", component["name"].as_str().unwrap(), component["version"].as_str().unwrap())
        })
        .collect();
    for package in &packages {
        assert!(installed.contains(package), "{package} is not in the list");
    }
    assert_eq!(installed.len(), packages.len());
    for program in ["kubectl", "helm", "yq"] {
        let component = components
            .iter()
            .find(|component| component["name"] == program && component["type"] == "application")
            .unwrap_or_else(|| panic!("{program} is not in the list"));
        assert_eq!(component["hashes"][0]["alg"], "SHA-256", "{component}");
    }
    assert!(
        components.iter().any(|component| component["purl"]
            .as_str()
            .is_some_and(|purl| purl.starts_with("pkg:golang/stdlib@1."))),
        "what the programs were linked with"
    );
}

#[test]
fn a_list_of_contents_that_breaks_the_schema_is_refused() {
    let mut sbom: Value =
        serde_json::from_slice(&std::fs::read(sbom_file()).expect("make worker-tools leaves it"))
            .expect("JSON");
    let file = std::env::temp_dir().join(format!("longshore-sbom-{}.json", std::process::id()));

    sbom["components"][0]["type"] = "tool".into();
    std::fs::write(&file, sbom.to_string()).unwrap();
    let checked = check_sbom(&file);
    assert!(!checked.status.success() && text(&checked).contains("breaks the schema"), "{}", text(&checked));

    sbom["components"][0]["type"] = "library".into();
    sbom["dependencies"][0]["dependsOn"] = serde_json::json!(["nowhere"]);
    std::fs::write(&file, sbom.to_string()).unwrap();
    let checked = check_sbom(&file);
    assert!(!checked.status.success() && text(&checked).contains("nowhere"), "{}", text(&checked));
    std::fs::remove_file(&file).unwrap();
}

/// The mirror is a folder: this needs no network.
#[test]
fn a_version_that_the_mirror_has_dropped_is_named() {
    let folder = std::env::temp_dir().join(format!("longshore-mirror-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut packages = String::new();
    for line in lock().1 {
        let (name, version) = line.split_once(' ').expect("name and version");
        let version = if name == "git" { "1:9.9-1" } else { version };
        packages += &format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: ./{name}.deb\nSize: 1\n\n"
        );
    }
    std::fs::write(folder.join("Packages"), packages).unwrap();
    let sources = folder.join("sources.list");
    std::fs::write(&sources, format!("deb [trusted=yes] file:{} ./\n", folder.display())).unwrap();

    let output = Command::new(root().join("images/worker-tools/rootfs.sh"))
        .arg(folder.join("rootfs.tar"))
        .env("WORKER_TOOLS_SOURCES", &sources)
        .output()
        .expect("rootfs.sh starts");
    let said = text(&output);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(!output.status.success(), "{said}");
    let git = lock().1.into_iter().find(|line| line.starts_with("git ")).expect("git is locked");
    let named: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(named, [git.as_str()], "{said}");
    assert!(said.contains("make worker-tools-update"), "{said}");
}

#[test]
fn helm_installs_a_release_and_upgrades_it() {
    let (date, _) = lock();
    let file = example("helm-release.yaml");
    let named = std::fs::read_to_string(&file).unwrap();
    assert!(named.contains(&format!("/worker-tools:{date}")), "make worker-tools-update writes the tag");

    let (_applied, first) = run(&file, "catalog", "helm-release");
    assert_eq!(reason(&first), "Succeeded", "{first}");
    let outputs = &first["status"]["outputs"];
    assert_eq!(
        (&outputs["revision"], &outputs["chartVersion"], &outputs["status"]),
        (&"1".into(), &"1.2.0".into(), &"deployed".into())
    );
    let available = || {
        let path = "jsonpath={.status.availableReplicas}";
        kubectl(&["get", "deployment", "catalog", "-n", "catalog", "-o", path])
    };
    assert_eq!(available(), "1");

    // As a user changes it.
    let file = std::env::temp_dir().join(format!("longshore-helm-{}.yaml", std::process::id()));
    let replicas = "- name: REPLICAS\n      value: ";
    std::fs::write(&file, named.replace(&format!("{replicas}\"1\""), &format!("{replicas}\"2\""))).unwrap();
    kubectl(&["apply", "-f", file.to_str().unwrap()]);
    kubectl(&[
        "wait",
        "deploymentaction/helm-release",
        "--namespace=catalog",
        "--for=jsonpath={.status.outputs.revision}=2",
        "--timeout=4m",
    ]);
    assert_eq!(available(), "2");
    std::fs::remove_file(&file).unwrap();
}
