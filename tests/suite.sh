#!/usr/bin/env bash
# All tests, the least powerful first: lints, pure tests, the runner as a process, then the API
# server and the whole on a real cluster. Goes on after a failure, and counts.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
. tests/cluster/settings.sh

log=$(mktemp)
cluster_log=$(mktemp)
trap 'rm -f "$log" "$cluster_log"' EXIT
failed=()
took=()
started=$SECONDS

step() {
	local name=$1 begun=$SECONDS
	shift
	say ""
	say "== $name"
	if "$@" 2>&1 | tee -a "$log"; then
		say "== $name: passed in $((SECONDS - begun)) s"
		took+=("$((SECONDS - begun)) s $name")
	else
		say "== $name: FAILED after $((SECONDS - begun)) s"
		took+=("$((SECONDS - begun)) s $name (failed)")
		failed+=("$name")
		return 1
	fi
}

on_cluster() { with_cluster on_cluster "$@"; }
on_cluster_alone() { with_cluster on_cluster_alone "$@"; }
with_cluster() {
	eval "$(tests/cluster/env.sh)"
	# Most of a test's time is waiting: more of them at once than there are cores.
	tests_of "$@" -- --test-threads 10
}

gitops() {
	# Here, so that building it does not count as the tests' time.
	tests/cluster/build/build.sh gitops
	on_cluster gitops::
}

archive() {
	# Here, so that fetching it does not count as the tests' time.
	tests/cluster/build/build.sh s3
	tests_of process archive::
}

# On a new machine its parts take a quarter of an hour to build, much of that on one core. So they are built while
# nothing needs them yet.
cluster_up() {
	# What it has said so far, and what it says until it is done.
	tail --pid="$cluster" --lines=+1 --follow "$cluster_log"
	# Whether it is up, or why not.
	tests/cluster/up.sh
}
say "starting the cluster beside the first tests ..."
tests/cluster/up.sh >"$cluster_log" 2>&1 &
cluster=$!

step "lint" tests/lint.sh
step "pure tests and mocked services" cargo_test --no-fail-fast --lib --bins
step "the tests that pages name, and what contributors use" tests_of process claims:: contributors::
step "what can happen, state by state" tests_of model
step "the runner, the fetcher and the operator as processes" tests_of process runner:: fetch:: operator_process::
step "the archive on an S3 server" archive
if step "cluster" cluster_up && step "install" tests/install.sh; then
	step "API server" on_cluster api_server::
	step "who may do what" on_cluster access::
	step "end to end" on_cluster end_to_end::
	step "logs by right" on_cluster log_api::
	step "the plugin" on_cluster plugin::
	step "the fake node" on_cluster_alone fake_node::
	# Nothing before needs this image.
	step "worker-tools" make --no-print-directory worker-tools
	step "examples" on_cluster examples::
	step "what GitOps tools see" gitops
	step "mutated resources" on_cluster fuzz::
	step "the operator restarts" on_cluster_alone operator_restart::
	step "stored logs" on_cluster_alone archived_logs::
	if [ "${LONGSHORE_CLUSTER:-}" = current ]; then
		say "== faults, hostile neighbours: not tried, for a cluster of one's own has no fake node, and its parts are not ours to kill"
	else
		step "a hostile neighbourhood" on_cluster_alone hostile::
		step "faults" tests/faults.sh
		step "parts of the cluster are killed" on_cluster_alone cluster_faults::
	fi
	step "without the policy" on_cluster_alone policy_missing::
	step "what actions may be" on_cluster_alone action_policy::
	step "the chart" on_cluster_alone chart::
	step "by init container" on_cluster_alone init_container::
	# Last, since it asks what all before have used.
	if [ "${LONGSHORE_CLUSTER:-}" = current ]; then
		say "== the operator's rights: not compared, for a cluster of one's own shows no audit log"
	else
		step "the operator's rights" on_cluster_alone operator_rights::
	fi
fi

# cargo's own closing lines, added up.
read -r passed broken ignored < <(
	awk '/^test result:/ { for (i = 1; i < NF; i++) { if ($(i+1) ~ /^passed/) p += $i; if ($(i+1) ~ /^failed/) f += $i; if ($(i+1) ~ /^ignored/) g += $i } }
		END { print p + 0, f + 0, g + 0 }' "$log"
)
# A step that failed without a failing test, such as a lint, counts as one.
if [ ${#failed[@]} -gt 0 ] && [ "$broken" -eq 0 ]; then broken=${#failed[@]}; fi
say ""
if [ ${#failed[@]} -gt 0 ]; then
	say "failed steps: $(printf '%s; ' "${failed[@]}")"
	# What they say of it is far above. Here are the first lines of it.
	sed -n 's/^test \(.*\) \.\.\. FAILED$/failed test: \1/p' "$log"
	grep -A 6 "^thread '.*' .*panicked at" "$log" | grep -v '^ *[0-9]*: \|^ *at \|^stack backtrace' | cut -c 1-300 | tail -n 60
fi
say "$(printf '%s\n' "${took[@]}" | sort -rn | awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $0 }')"
say "all of it took $((SECONDS - started)) s"
say "$passed passed, $broken failed, $ignored skipped"
[ ${#failed[@]} -eq 0 ] && [ "$passed" -gt 0 ]
