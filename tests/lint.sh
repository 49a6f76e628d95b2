#!/usr/bin/env bash
# What is checked without running anything: format, lints, licences, and that generated files are
# those that the code generates.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh

say "checking the format ..."
cargo fmt --check
# Against nothing, so that all files are looked at.
git diff --check "$(git hash-object -t tree /dev/null)"
say "checking lints ..."
cargo clippy --quiet --locked --all-targets -- -D warnings
say "checking licences, bans and sources ..."
tests/cluster/build/build.sh cargo-deny
"$(tests/cluster/build/build.sh --path cargo-deny)/cargo-deny" --log-level error check licenses bans sources
say "comparing generated files ..."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests/generate.sh "$work"
for file in crds/*.yaml charts/longshore/files/{*actions,*templates,actionpolicies,policies}.yaml docs/reference.md docs/reasons.md; do
	diff -u "$file" "$work/$file" || fail "$file is not what the code generates: run make generate and commit the result"
done
say "linting the chart ..."
tests/cluster/build/build.sh clients
"$(tests/cluster/build/build.sh --path clients)/helm" lint --quiet charts/longshore
