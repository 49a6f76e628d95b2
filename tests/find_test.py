"""Finds the tests that NAME names, in the sources: building every target to ask cargo would take minutes.

usage: find_test.py NAME

NAME is a test's name, its path, or a part of either: `matrix::each_image_runs`, `tests/runner.rs::a_test`,
`src/operator/pod.rs::a_test`. Prints a line a test, separated by tabs: the target's kind (lib, bin or test), the
target's name, the file, the test's path within the target. They all belong to one target; otherwise the message
on standard error says what to write instead, and the exit code is 1.
"""

import difflib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

# So many tests are shown: more would scroll away what comes first.
SHOWN = 12
HOW_TO_SEARCH = "To see names: git grep -A 1 '#\\[.*test\\]' -- src tests"

VISIBLE = r"(?:pub(?:\([^)]*\))? )?"
MODULE = re.compile(rf"^( *){VISIBLE}mod (\w+)(;| \{{)$")
PATH = re.compile(r'^ *#\[path = "([^"]+)"\]$')
TEST = re.compile(r"^ *#\[(?:\w+::)*test\b")
FUNCTION = re.compile(rf"^ *{VISIBLE}(?:async )?fn (\w+)")


class Target(NamedTuple):
    kind: str
    name: str

    def words(self):
        return {"lib": "lib", "bin": f"bin/{self.name}"}.get(self.kind, self.name)


class Test(NamedTuple):
    target: Target
    file: str
    path: str

    def spellings(self):
        name = self.path.rsplit("::", 1)[-1]
        return f"{self.target.words()}::{self.path}", f"{self.file}::{name}"

    def words(self):
        return self.spellings()[0]


def targets():
    """What cargo would build tests of, each with its first file."""
    command = ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    for target in told["packages"][0]["targets"]:
        if target["test"] and target["kind"][0] in ("lib", "bin", "test"):
            yield Target(target["kind"][0], target["name"]), Path(os.path.relpath(target["src_path"]))


def tests(target, file, modules, folder):
    """The tests in this file and in the files of its modules, which lie in `folder` unless a path is given.

    rustfmt ends an inline module at the depth at which it begins. An attribute belongs to the next module or
    function.
    """
    inline, placed, is_test = [], None, False
    for line in file.read_text(encoding="utf-8").splitlines():
        within = [name for _, name in inline]
        if TEST.match(line):
            is_test = True
        elif path := PATH.match(line):
            placed = path[1]
        elif function := FUNCTION.match(line):
            if is_test:
                yield Test(target, str(file), "::".join([*modules, *within, function[1]]))
            is_test = False
        elif module := MODULE.match(line):
            depth, name, opens = module.groups()
            below = folder.joinpath(*within)
            if opens != ";":
                inline.append((depth, name))
            elif placed:
                child = Path(os.path.normpath((below if inline else file.parent) / placed))
                yield from tests(target, child, [*modules, *within, name], child.parent)
            else:
                for child in (below / f"{name}.rs", below / name / "mod.rs"):
                    if child.exists():
                        yield from tests(target, child, [*modules, *within, name], below / name)
            placed = None
        elif inline and line == inline[-1][0] + "}":
            inline.pop()


def named(all_tests, wanted):
    """Those of that very name or path; where there are none, those that hold it."""
    exact = [test for test in all_tests if any(f"::{words}".endswith(f"::{wanted}") for words in test.spellings())]
    return exact or [test for test in all_tests if any(wanted in words for words in test.spellings())]


def close(all_tests, wanted):
    """The tests whose names look most like it."""
    last = wanted.rsplit("::", 1)[-1]
    names = difflib.get_close_matches(last, {test.path.rsplit("::", 1)[-1] for test in all_tests}, n=5, cutoff=0.5)
    return [test for name in names for test in all_tests if test.path.endswith(f"::{name}") or test.path == name]


def refuse(why, instead):
    """Ends with what to write instead: some of each target, since one may have hundreds."""
    lines = [f"error: {why}"]
    by_target = {}
    for test in instead:
        by_target.setdefault(test.target, []).append(test)
    each = max(1, SHOWN // max(1, len(by_target)))
    for target, of_target in by_target.items():
        lines += [f"  make test-one T={test.words()}" for test in of_target[:each]]
        if len(of_target) > each:
            lines.append(f"  ... and {len(of_target) - each} more of {target.words()}")
    sys.exit("\n".join(lines))


def main():
    if len(sys.argv) != 2 or not sys.argv[1]:
        sys.exit(__doc__)
    wanted = sys.argv[1]
    all_tests = [test for target, file in targets() for test in tests(target, file, [], file.parent)]
    found = named(all_tests, wanted)
    if not found:
        instead = close(all_tests, wanted)
        refuse(f"no test has {wanted!r} in its path. " + ("These are like it:" if instead else HOW_TO_SEARCH), instead)
    if len({test.target for test in found}) > 1:
        refuse(f"tests of several targets have {wanted!r} in their paths. Name one:", found)
    for test in found:
        print(test.target.kind, test.target.name, test.file, test.path, sep="\t")


main()
