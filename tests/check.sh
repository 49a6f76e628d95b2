#!/usr/bin/env bash
# Checks within a minute whether a change is worth a commit: format, lints of the code that ships and of its unit
# tests, and the unit tests. `make lint` checks the other tests too, and `make test` runs them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh

started=$SECONDS
say "checking the format ..."
cargo fmt --check
say "checking lints ..."
# The profile has the unit tests checked with the code.
cargo clippy --quiet --locked --lib --bins --profile test -- -D warnings
say "running the unit tests ..."
# All of them are in the library: the programs' mains are short.
cargo_test --quiet --lib
say "checked in $((SECONDS - started)) s"
