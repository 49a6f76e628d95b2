#!/usr/bin/env bash
# Ends the cluster and removes everything it left; the cache of built parts stays.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
. "$cluster_dir/process.sh"
. "$cluster_dir/teardown.sh"
PATH=$PATH:/usr/sbin:/sbin

if [ "${LONGSHORE_CLUSTER:-}" = current ]; then
	exec "$cluster_dir/current.sh" down
fi
if [ ! -d "$state" ]; then
	say "no cluster is there"
	exit 0
fi
[ "$(id -u)" = 0 ] || fail "ending the cluster needs root: sudo make cluster-down"
[ -f "$state/.longshore-cluster" ] || fail "$state was not made by cluster-up; it is left alone"

mkdir -p "$cache"
exec 9>"$cache/cluster.lock"
flock -n 9 || { say "waiting for another cluster-up or cluster-down ..."; flock 9; }

end_cluster
remove_state
say "the cluster is gone"
