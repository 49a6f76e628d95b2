#!/usr/bin/env bash
# Checks that run no test: format, lints, licences, and whether generated files are current.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh
. tests/cluster/packages.sh

say "checking the format ..."
cargo fmt --check
# Against nothing, so that all files are looked at.
git diff --check "$(git hash-object -t tree /dev/null)"
say "checking shell scripts ..."
ensure_packages shellcheck:shellcheck
git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck --external-sources --severity info
say "checking lints ..."
cargo clippy --quiet --locked --all-targets -- -D warnings
# Links between items, which a file that moves leaves behind. Private items are documented for contributors.
RUSTDOCFLAGS='-D rustdoc::broken_intra_doc_links -A rustdoc::private_intra_doc_links' \
	cargo doc --quiet --locked --no-deps --lib --document-private-items
say "checking licences, bans and sources ..."
tests/cluster/build/build.sh cargo-deny
"$(tests/cluster/build/build.sh --path cargo-deny)/cargo-deny" --log-level error check licenses bans sources
say "comparing generated files ..."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests/generate.sh "$work"
for file in crds/*.yaml charts/longshore/files/{*actions,*templates,actionpolicies,policies}.yaml docs/reference/fields.md docs/reference/reasons.md; do
	diff -u "$file" "$work/$file" || fail "$file is not what the code generates: run make generate and commit the result"
done
say "linting the chart ..."
tests/cluster/build/build.sh clients
"$(tests/cluster/build/build.sh --path clients)/helm" lint --quiet charts/longshore
