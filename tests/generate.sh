#!/usr/bin/env bash
# Writes what is generated from the code below DIR (the repository unless named).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-.}
. tests/cluster/settings.sh
# With the tests, for which it is built anyway.
cargo_test --quiet --no-run --test process
longshore=${CARGO_TARGET_DIR:-target}/$static_target/debug/longshore
mkdir -p "$out/crds" "$out/docs/reference" "$out/charts/longshore/files"
"$longshore" crd >"$out/crds/deploymentactions.yaml"
"$longshore" crd action-policy >"$out/crds/actionpolicies.yaml"
"$longshore" crd deployment-action-template >"$out/crds/deploymentactiontemplates.yaml"
"$longshore" crd cluster-deployment-action-template >"$out/crds/clusterdeploymentactiontemplates.yaml"
cp "$out"/crds/*.yaml "$out/charts/longshore/files/"
"$longshore" policies >"$out/charts/longshore/files/policies.yaml"
"$longshore" reference >"$out/docs/reference/fields.md"
"$longshore" reasons >"$out/docs/reference/reasons.md"
