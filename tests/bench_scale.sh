#!/usr/bin/env bash
# Many actions on a fake node of the running cluster, with Longshore installed (make deploy). What is
# measured and how it is set: benches/scale.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh
[ "${LONGSHORE_CLUSTER:-}" != current ] || fail "the fake node runs in the cluster of make cluster-up alone"
environment=$(tests/cluster/env.sh)
eval "$environment"
kubectl --namespace longshore-system rollout status deployment/longshore --timeout 60s >/dev/null ||
	fail "Longshore is not installed in this cluster: run make deploy"

# The runner that is deployed, and this program built as well: it shares the machine with what it measures.
target_dir=$(realpath "${CARGO_TARGET_DIR:-target}")
LONGSHORE_RUNNER=$target_dir/$static_target/release/longshore-runner
[ -x "$LONGSHORE_RUNNER" ] || fail "there is no $LONGSHORE_RUNNER: run make deploy"
export LONGSHORE_RUNNER RESULT=${RESULT:-$target_dir/bench-scale.json} RATE MINUTES KEPT FINISHED ACTIVE QUEUED LARGEST NEIGHBOURS PARTS

# If it breaks off half-way.
remove_left() { kubectl delete namespaces --selector longshore.dev/bench-scale --wait=false --ignore-not-found >/dev/null; }
trap remove_left EXIT

say "building the benchmark ..."
# Like the images' binaries, whose dependencies are built already. PROFILE=dev is built sooner, and takes
# more of the processor from what it measures.
static_cargo bench --quiet --locked --profile "${PROFILE:-release}" --bench scale
