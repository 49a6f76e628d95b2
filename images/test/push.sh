#!/usr/bin/env bash
# Pushes the tests' images to the plain registry as test/NAME:1, and some to those that want a
# password as test/private-NAME:1. They are built when a file of theirs has changed, and only what a
# registry does not have is pushed: the second time it takes a second.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../tests/cluster/settings.sh"
. "$cluster_dir/packages.sh"

private=(glibc busybox)

environment=$("$cluster_dir/env.sh")
eval "$environment"
ensure_packages "${test_image_packages[@]}"

mkdir -p "$cache/images" "$cache/logs"
exec 8>"$cache/images/test.lock"
flock 8

"$cluster_dir/build/build.sh" debian
debian=$("$cluster_dir/build/build.sh" --path debian)
key=$(cd "$here" && { basename "$debian"; sha256sum build.sh ./*.c; } | sha256sum)
layout=$cache/images/test-${key:0:16}

if [ ! -d "$layout" ]; then
	say "building the tests' images (half a minute) ..."
	started=$SECONDS
	rm -rf "$cache"/images/test-*
	if ! "$here/build.sh" "$layout.new" "$debian" >"$cache/logs/test-images.log" 2>&1; then
		tail -n 30 "$cache/logs/test-images.log" >&2
		rm -rf "$layout.new"
		fail "building the tests' images failed; the whole output is in $cache/logs/test-images.log"
	fi
	mv -T "$layout.new" "$layout"
	say "built the tests' images in $((SECONDS - started)) s"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skopeo() { command skopeo --policy "$here/../policy.json" "$@"; }

# push NAME REFERENCE: reads there with $read_options and writes with $write_options.
pushed=0
push() {
	local name=$1 reference=$2 digest have
	digest=$(sed -n "s/^$name //p" "$layout/images")
	# What cannot be read is pushed; why it could not, the push says.
	have=$({ skopeo inspect --raw "${read_options[@]}" "docker://$reference" 2>/dev/null || true; } | sha256sum)
	[ "sha256:${have%% *}" != "$digest" ] || return 0
	skopeo copy --quiet --all --preserve-digests "${write_options[@]}" "oci:$layout:$name" "docker://$reference"
	pushed=$((pushed + 1))
}

total=0
# On this machine the plain registry has no TLS; another cluster's may.
verify=true
case $LONGSHORE_PUSH_REGISTRY in 127.* | localhost | localhost:*) verify=false ;; esac
read_options=(--tls-verify="$verify") write_options=(--dest-tls-verify="$verify")
while read -r name _; do
	push "$name" "$LONGSHORE_PUSH_REGISTRY/test/$name:1"
	total=$((total + 1))
done <"$layout/images"

mkdir "$work/authorities"
if [ -n "${LONGSHORE_TLS_CA:-}" ]; then cp "$LONGSHORE_TLS_CA" "$work/authorities/ca.crt"; fi
credentials=${LONGSHORE_REGISTRY_PUSH_USER:-}:${LONGSHORE_REGISTRY_PUSH_PASSWORD:-}
read_options=(--cert-dir "$work/authorities" --creds "$credentials")
write_options=(--dest-cert-dir "$work/authorities" --dest-creds "$credentials")
for registry in "${LONGSHORE_PUSH_BASIC_REGISTRY:-}" "${LONGSHORE_PUSH_TOKEN_REGISTRY:-}"; do
	# A cluster of one's own may have none.
	[ -n "$registry" ] || continue
	for name in "${private[@]}"; do
		push "$name" "$registry/test/private-$name:1"
		total=$((total + 1))
	done
done
say "the tests' images: $pushed pushed, $((total - pushed)) were there"
