#!/usr/bin/env bash
# one.sh NAME: runs one test, wherever it lives, and starts what it needs. NAME is the test's name, its path, or a
# part of either; the tests that it names must be of one target.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh

[ -n "${1:-}" ] || fail "which test? make test-one T=NAME, where NAME is a test's name, its path or a part of either, such as T=a_frame_reads_as_designed or T=record::frame"
command -v python3 >/dev/null || fail "python3 is missing: it finds the test in the sources"

found=$(python3 tests/find_test.py "$1")
read -r kind target file _ <<<"$found"
mapfile -t paths < <(cut -f 4 <<<"$found")
case $kind in
lib) select=(--lib) ;;
*) select=("--$kind" "$target") ;;
esac

# The suite knows: it runs these targets without a cluster.
needs_cluster() {
	[ "$kind" = test ] && ! grep -qE "(cargo_test( .*)? --test|tests_of) $target( |\$)" tests/suite.sh
}

run() {
	if ! needs_cluster; then
		say "It needs no cluster."
		cargo_test "${select[@]}" -- --exact "${paths[@]}"
		return
	fi
	say "It needs a cluster: tests/suite.sh gives its target one."
	tests/cluster/up.sh
	case $file in
	*/cluster_faults*) ;;
	*/faults*)
		say "It starts an operator of its own: tests/faults.sh stops the installed one meanwhile."
		tests/faults.sh "" "" "" "${paths[@]}"
		return
		;;
	*/examples*)
		say "It needs the image worker-tools, in which examples run."
		make --no-print-directory worker-tools
		;;
	*/operator_rights*)
		say "It counts what all tests before it have asked of the API server. After make test it passes; alone it finds rights that nothing has used yet."
		;;
	esac
	say "It needs Longshore, as this work tree has it, in the cluster."
	tests/install.sh
	eval "$(tests/cluster/env.sh)"
	cargo_test "${select[@]}" -- --exact "${paths[@]}"
}

if [ ${#paths[@]} = 1 ]; then
	say "Found ${paths[0]} in $file."
else
	say "Found ${#paths[@]} tests of the target $target whose paths hold $1."
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
run 2>&1 | tee "$log"
# cargo passes where it finds none of them.
ran=$(awk '/^test result:/ { ran += $4 + $6 } END { print ran + 0 }' "$log")
[ "$ran" -ge ${#paths[@]} ] || fail "cargo ran $ran of ${#paths[@]} tests: the sources have the others, and what cargo builds of them has not"
