#!/usr/bin/env bash
# Runs at most once, whatever goes wrong (docs/faults.md): the short form of make test, or, with a count or
# a seed, the long one. `faults.sh "" "" SCHEDULE` plays one schedule that was printed, and
# `faults.sh "" "" "" TEST...` runs these tests alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh
[ "${LONGSHORE_CLUSTER:-}" != current ] || fail "the fake node runs in the cluster of make cluster-up alone"

environment=$(tests/cluster/env.sh)
eval "$environment"
export LONGSHORE_FAULTS_COUNT=${1:-} LONGSHORE_FAULTS_SEED=${2:-} LONGSHORE_FAULTS_SCHEDULE=${3:-}
only=() build=(static_cargo test)
if [ -n "$LONGSHORE_FAULTS_SCHEDULE" ]; then
	only=(schedules_of_a_seed_show_no_violation)
elif [ $# -gt 3 ]; then
	only=(--exact "${@:4}")
elif [ -n "$LONGSHORE_FAULTS_COUNT$LONGSHORE_FAULTS_SEED" ]; then
	export LONGSHORE_FAULTS_LONG=1 LONGSHORE_FAULTS_COUNT=${LONGSHORE_FAULTS_COUNT:-10000}
	# Like the images' binaries, whose dependencies are built already.
	build=(static_cargo test --release)
	say "building the tests, with optimisation ..."
fi

# Where Longshore is not installed, its definitions do; helm would not take over ours.
remove_definitions() { kubectl delete --filename crds/ >/dev/null; }
if ! kubectl get customresourcedefinition deploymentactions.longshore.dev >/dev/null 2>&1; then
	trap remove_definitions EXIT
	kubectl apply --server-side --filename crds/ >/dev/null
	kubectl wait --for condition=Established --timeout 60s --filename crds/ >/dev/null
fi
# An operator that is deployed would take part: it is away meanwhile.
operator=(--namespace longshore-system deployment/longshore)
replicas=$(kubectl get "${operator[@]}" --ignore-not-found --output 'jsonpath={.spec.replicas}')
give_back() {
	kubectl scale "${operator[@]}" --replicas "$replicas" >/dev/null
	kubectl rollout status "${operator[@]}" --timeout 120s >/dev/null
}
if [ "${replicas:-0}" -gt 0 ]; then
	trap give_back EXIT
	kubectl scale "${operator[@]}" --replicas 0 >/dev/null
	kubectl --namespace longshore-system wait pod --for delete --selector app.kubernetes.io/name=longshore --timeout 60s >/dev/null
fi
"${build[@]}" --locked --test faults -- --nocapture --test-threads 1 "${only[@]}"
