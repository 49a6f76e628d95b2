#!/usr/bin/env bash
# Prints the SBOM of the image whose context, with rootfs.tar, is in DIRECTORY.
#
#   sbom.sh DIRECTORY
#   sbom.sh --check FILE    fails where FILE breaks CycloneDX's schema
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHONPATH=$("$here/../../tests/cluster/build/build.sh" --path sbom)
export PYTHONPATH

if [ "$1" = --check ]; then exec "$here/describe.py" check "$2"; fi
context=$1
"$here/describe.py" sbom "$context/share/tools.json" "$context/rootfs.tar" "$context/bin" >"$context/.sbom"
"$here/describe.py" check "$context/.sbom" >&2
cat "$context/.sbom"
rm "$context/.sbom"
