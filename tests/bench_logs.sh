#!/usr/bin/env bash
# Logs that are longer than a node keeps, on the running cluster with Longshore installed (make deploy).
# benches/logs/main.rs says how it is set. The table goes to target/bench/logs.md, and with WRITE=1 into
# docs/understand/performance.md.
#
# For each of SIZES, the kubelet is started again with this containerLogMaxSize, and so is the operator. Both are as
# before at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh
. tests/measured.sh
[ "${LONGSHORE_CLUSTER:-}" != current ] || fail "the kubelet's settings are changed in the cluster of make cluster-up alone"
environment=$(tests/cluster/env.sh)
eval "$environment"
namespace=longshore-system
kubectl --namespace "$namespace" rollout status deployment/longshore --timeout 60s >/dev/null ||
	fail "Longshore is not installed in this cluster: run make deploy"
target=$(realpath "${CARGO_TARGET_DIR:-target}")
mkdir -p "$target/bench"
export RESULT=$target/bench/logs.rows LOG_SIZE PARTS MIB ACTIONS WRITE_SECONDS TURNS
wanted=${PARTS:-long,script,stopped,crowd,echo}
rm -f "$RESULT"

config=$state/config/kubelet.yaml
before=$(helm get values longshore --namespace "$namespace" --all --output yaml | sed -n 's/^containerLogMaxSize: //p')

# until_so WHAT COMMAND...
until_so() {
	local what=$1 deadline=$((SECONDS + 180))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || fail "waited in vain until $what"
		sleep 0.5
	done
}
kubelet_has() { kubectl get --raw "/api/v1/nodes/$node_name/proxy/configz" | grep -F "\"containerLogMaxSize\":\"$1\""; }
operator_is_one() { [ "$(kubectl --namespace "$namespace" get pods --selector app.kubernetes.io/name=longshore --output name | wc -l)" = 1 ]; }

# rotates_at SIZE CHART_VALUE: an empty size is the kubelet's own default.
rotates_at() {
	sed -i '/^containerLogMaxSize:/d' "$config"
	[ -z "$1" ] || printf 'containerLogMaxSize: %s\n' "$1" >>"$config"
	pkill -KILL -f -- "--config=$config"
	until_so "the kubelet rotates at ${1:-10Mi}" kubelet_has "${1:-10Mi}"
	helm upgrade longshore charts/longshore --namespace "$namespace" --reuse-values --set "containerLogMaxSize=$2" \
		--wait --timeout 3m >/dev/null
	until_so "there is one operator" operator_is_one
}
as_before() {
	say "setting the kubelet and the operator as before ..."
	rotates_at "" "$before"
}
trap as_before EXIT

say "building the benchmark ..."
# The client's own speed matters little: it creates some objects and waits.
bench() { static_cargo bench --quiet --locked --profile dev --bench logs "$@"; }
bench --no-run
for LOG_SIZE in ${SIZES:-1Mi 10Mi}; do
	# Parts that do not depend on the size are measured at the last one, a node's default.
	PARTS=$(tr , '\n' <<<"$wanted" | grep -x long | paste -sd, || true)
	[ "$LOG_SIZE" != "$(tr ' ' '\n' <<<"${SIZES:-1Mi 10Mi}" | tail -n 1)" ] || PARTS=$wanted
	[ -n "$PARTS" ] || continue
	say "logs that rotate at $LOG_SIZE ..."
	rotates_at "$LOG_SIZE" "$LOG_SIZE"
	bench
done

report=$target/bench/logs.md
{
	printf 'Measured on %s: Kubernetes %s, %s cores.\n\n' "$(date -u +%F)" \
		"$(kubectl get --raw /version | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p')" "$(nproc)"
	printf '| condition | measured | wanted | | load |\n|---|---|---|---|---|\n'
	cat "$RESULT"
} >"$report"
cat "$report"
if [ -n "${WRITE:-}" ]; then write_measured "long logs" "$report"; fi
