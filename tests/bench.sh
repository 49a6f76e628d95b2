#!/usr/bin/env bash
# Measures on the running cluster, with Longshore installed (make deploy).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh
environment=$(tests/cluster/env.sh)
eval "$environment"
kubectl --namespace longshore-system rollout status deployment/longshore --timeout 60s >/dev/null ||
	fail "Longshore is not installed in this cluster: run make deploy"
# The client's own speed does not matter here: it sends a few requests and waits.
cargo bench --quiet --profile dev --bench latency
if [ "${LONGSHORE_CLUSTER:-}" != current ]; then
	pid=$(pgrep -f '^/longshore run ' | head -n 1)
	say ""
	say "operator: $(awk '/^VmRSS/ { printf "%.1f MiB resident", $2 / 1024 }' "/proc/$pid/status")"
fi
runner=$(realpath "${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release/longshore-runner")
stat --format %s "$runner" | awk '{ printf "runner: %.2f MB on disk\n\n", $1 / 1e6 }'
LONGSHORE_RUNNER=$runner cargo bench --quiet --profile dev --bench runner
