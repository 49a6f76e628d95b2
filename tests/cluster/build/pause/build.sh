#!/usr/bin/env bash
# The program, and an image of it as an archive that containerd imports: written by hand, so that
# a cluster starts without any image builder.
set -euo pipefail
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/root" "$work/image/blobs/sha256"
cc -Os -static -s -o "$work/root/pause" pause.c
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$work/root" -cf "$work/layer.tar" pause

# Stores FILE as a blob and prints its digest.
blob() {
	local digest
	digest=$(sha256sum "$1")
	digest=${digest%% *}
	cp "$1" "$work/image/blobs/sha256/$digest"
	printf 'sha256:%s' "$digest"
}
size() { stat -c %s "$1"; }

layer=$(blob "$work/layer.tar")
case $(uname -m) in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) architecture=$(uname -m) ;;
esac
printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/pause"],"User":"65535:65535"},"rootfs":{"type":"layers","diff_ids":["%s"]}}' \
	"$architecture" "$layer" >"$work/config.json"
config=$(blob "$work/config.json")
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%s}]}' \
	"$config" "$(size "$work/config.json")" "$layer" "$(size "$work/layer.tar")" >"$work/manifest.json"
manifest=$(blob "$work/manifest.json")
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":%s,"annotations":{"io.containerd.image.name":"localhost/pause:1","org.opencontainers.image.ref.name":"1"}}]}' \
	"$manifest" "$(size "$work/manifest.json")" >"$work/image/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/image/oci-layout"
tar -C "$work/image" -cf "$out/pause.tar" .
