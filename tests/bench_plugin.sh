#!/usr/bin/env bash
# The kubectl plugin on the running cluster with Longshore installed (make deploy): how large it is, how soon it answers,
# and how soon a follower sees a line. The table goes to target/bench/plugin.md, and with WRITE=1 into
# docs/understand/performance.md. ACTIONS=5000 is how many actions are listed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh
. tests/measured.sh
environment=$(tests/cluster/env.sh)
eval "$environment"
kubectl --namespace longshore-system rollout status deployment/longshore --timeout 60s >/dev/null ||
	fail "Longshore is not installed in this cluster: run make deploy"
say "building the plugin as it is shipped ..."
static_cargo build --locked --release --bin kubectl-longshore
target=$(realpath "${CARGO_TARGET_DIR:-target}")
mkdir -p "$target/bench"
namespace=bench-plugin-$$
kubectl create namespace "$namespace" >/dev/null
trap 'kubectl delete namespace "$namespace" --wait=false >/dev/null' EXIT
python3 tests/bench_plugin.py "$target/$static_target/release/kubectl-longshore" "$namespace" "${ACTIONS:-5000}" \
	>"$target/bench/plugin.md"
cat "$target/bench/plugin.md"
if [ -n "${WRITE:-}" ]; then
	write_measured plugin "$target/bench/plugin.md"
fi
