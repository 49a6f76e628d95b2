#!/usr/bin/env bash
# Measures on the running cluster, with Longshore installed (make deploy): table and plot go to
# target/bench, and with WRITE=1 into docs/understand/performance.md, between its two comments, and beside it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh
. tests/measured.sh
environment=$(tests/cluster/env.sh)
eval "$environment"
kubectl --namespace longshore-system rollout status deployment/longshore --timeout 60s >/dev/null ||
	fail "Longshore is not installed in this cluster: run make deploy"
target=$(realpath "${CARGO_TARGET_DIR:-target}")
export LONGSHORE_BENCH_DIR=$target/bench
export LONGSHORE_RUNNER=$target/$static_target/release/longshore-runner
[ -x "$LONGSHORE_RUNNER" ] || fail "there is no $LONGSHORE_RUNNER: run make deploy"
# Somebody else's cluster keeps its audit log elsewhere, if it has one; the report says so then.
if [ "${LONGSHORE_CLUSTER:-}" != current ]; then
	export LONGSHORE_AUDIT_LOG=$state/logs/audit.log
	[ -r "$LONGSHORE_AUDIT_LOG" ] || fail "$LONGSHORE_AUDIT_LOG is not yours to read: run make bench as root"
fi

# The client's own speed matters little: it sends a few requests and waits.
static_cargo bench --quiet --locked --profile dev --bench performance

if [ -n "${WRITE:-}" ]; then
	write_measured measured "$LONGSHORE_BENCH_DIR/performance.md"
	cp "$LONGSHORE_BENCH_DIR/performance.svg" docs/understand/performance.svg
	say "written to docs/understand/performance.svg"
fi
