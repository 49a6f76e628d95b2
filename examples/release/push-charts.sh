#!/usr/bin/env bash
# Packs and pushes the chart as three versions, as a build does: 1.0.0, 1.1.0, and 1.2.0, which has a
# mistake. Give a registry, or it uses that of `make demo`'s cluster.
set -euo pipefail
registry=${1:-$LONGSHORE_PUSH_REGISTRY}
chart=$(cd "$(dirname "${BASH_SOURCE[0]}")/chart" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for version in 1.0.0 1.1.0 1.2.0; do
	cp -r "$chart" "$work/$version"
	if [ "$version" = 1.2.0 ]; then
		# The page is renamed only here.
		sed -i 's|^page: .*|page: /renamed.json|' "$work/$version/values.yaml"
	fi
	helm package "$work/$version" --version "$version" --destination "$work" >/dev/null
	helm push "$work/orders-$version.tgz" "oci://$registry/charts" --plain-http
done
