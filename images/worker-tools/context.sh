#!/usr/bin/env bash
# Puts what the image is built from into DIRECTORY: all but the Debian packages and the SBOM, which
# follow from the lock list that is among it.
#
#   context.sh DIRECTORY
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
context=$1
build=$here/../../tests/cluster/build/build.sh
clients=$("$build" --path clients)
yq=$("$build" --path yq)
sbom=$("$build" --path sbom)

# Modes are part of an image; whoever cloned this may have another umask.
install -d -m 755 "$context" "$context/bin" "$context/share"
install -m 755 "$clients/kubectl" "$clients/helm" "$yq/yq" "$here/worker-tools" "$context/bin/"
"$here/describe.py" tools "$here/tools" "$here/packages.lock" "$context/bin" >"$context/share/tools.json"
chmod 644 "$context/share/tools.json"
cp "$here/Containerfile" "$context/"
"$here/describe.py" labels "$context/share/tools.json" >>"$context/Containerfile"
# Not copied into the image; a change of what makes the rest is a change of the tag.
(
	cd "$here"
	sha256sum packages.lock rootfs.sh customize.sh sbom.sh describe.py
	basename "$sbom"
) >"$context/made-from"
