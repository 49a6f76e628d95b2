#!/usr/bin/env bash
# Starts the cluster, or finds that it is up.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
. "$cluster_dir/packages.sh"
. "$cluster_dir/process.sh"
. "$cluster_dir/certificates.sh"
. "$cluster_dir/render.sh"
. "$cluster_dir/teardown.sh"
. "$cluster_dir/health.sh"
PATH=$PATH:/usr/sbin:/sbin

if [ "${LONGSHORE_CLUSTER:-}" = current ]; then
	exec "$cluster_dir/current.sh" up
fi
[ "$(id -u)" = 0 ] ||
	fail "starting the cluster needs root (namespaces, mounts, cgroups): sudo make cluster-up, or LONGSHORE_CLUSTER=current for a cluster you have"

ensure_packages "${cluster_packages[@]}"

mkdir -p "$cache"
exec 9>"$cache/cluster.lock"
flock -n 9 || { say "waiting for another cluster-up or cluster-down ..."; flock 9; }

"$cluster_dir/build/build.sh" 9>&-
parts=(clients pause etcd coredns token-server runc containerd kubernetes)
for part in "${parts[@]}"; do
	declare -x "${part//-/_}=$("$cluster_dir/build/build.sh" --path "$part")"
done

# What the running cluster was made of, to notice when that has changed.
definition() {
	local part path
	for part in "${parts[@]}"; do
		path=${part//-/_}
		printf '%s\n' "${!path}"
	done
	(cd "$cluster_dir" && find sandbox.sh components.sh certificates.sh settings.sh render.sh config -type f -print0 | sort -z | xargs -0 sha256sum)
}

if [ -e "$state" ]; then
	if [ ! -f "$state/.longshore-cluster" ] && [ -n "$(ls -A "$state")" ]; then
		fail "$state is there and was not made by cluster-up; choose another LONGSHORE_STATE"
	fi
	if [ "$(definition)" != "$(cat "$state/run/definition" 2>/dev/null)" ]; then
		say "a cluster made of other parts or settings is there: starting anew"
	elif cluster_is_healthy || cluster_recovers; then
		say "the cluster is up: API $(outside_address api), registry $(outside_address registry) (the others: make cluster-env)"
		exit 0
	else
		say "a cluster that is not healthy is there: starting anew"
	fi
	end_cluster
	remove_state
fi

# --- from here on something runs ---

started=$SECONDS
mkdir -p "$state"/{run,logs,sockets,pod-logs,registry/{plain,tls,basic,token},sandbox}
chmod 711 "$state"
touch "$state/.longshore-cluster"

# explain_failure WHAT LOG: then end what was started. The logs stay.
explain_failure() {
	printf 'error: %s. The end of %s:\n' "$1" "$state/logs/$2.log" >&2
	tail -n 25 "$state/logs/$2.log" >&2 || true
	printf 'All logs: %s (cluster-down removes them)\n' "$state/logs" >&2
	end_cluster
	exit 1
}

# The component that cannot start, if one keeps ending.
failing_component() {
	local file
	for file in "$state"/run/*.ends; do
		[ -f "$file" ] || continue
		if [ "$(stat -c %s "$file")" -ge 5 ]; then
			basename "$file" .ends
			return
		fi
	done
	return 1
}

# wait_until WHAT SECONDS LOG COMMAND...
wait_until() {
	local what=$1 deadline=$((SECONDS + $2)) log=$3 failing
	shift 3
	until "$@" >/dev/null 2>&1; do
		process_pid sandbox >/dev/null || explain_failure "the cluster's sandbox ended" sandbox
		if failing=$(failing_component); then explain_failure "$failing does not start" "$failing"; fi
		[ "$SECONDS" -lt "$deadline" ] || explain_failure "waited in vain until $what" "$log"
		sleep 0.1
	done
	say "$what ($((SECONDS - started)) s)"
}

listens_on() { [ -n "$(ss -Hltn "sport = :$1")" ]; }

# open_way_in NAME PORT: from 127.0.0.1:PORT, or the next free port, to the sandbox's socket.
open_way_in() {
	local name=$1 port=$2 pid
	while listens_on "$port"; do
		port=$((port + 1))
	done
	setsid socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=512" "UNIX-CONNECT:$state/sockets/$name" \
		</dev/null >>"$state/logs/outside-$name.log" 2>&1 9>&- &
	pid=$!
	record_process "outside-$name" "$pid"
	# Or bash would report its end when a failure ends it.
	disown "$pid"
	printf '127.0.0.1:%s\n' "$port" >"$state/run/$name.address"
}

say "starting the cluster; its state and logs are in $state"
# A copy, so that editing the work tree does not change what runs.
cp -r "$cluster_dir"/{sandbox.sh,components.sh,settings.sh} "$state/sandbox/"
render_config
issue_certificates 2>"$state/logs/certificates.log" || explain_failure "openssl failed" certificates
for user in kube-controller-manager kube-scheduler kube-proxy kubelet coredns; do
	write_kubeconfig "$state/config/$user.kubeconfig" "https://$node_address:6443" "$user"
done
save_sysctls
printf '%s\n' "$cgroup" >"$state/run/cgroup"

# setsid and no open file of ours: the cluster outlives the terminal, and make does not wait for it.
LONGSHORE_STATE=$state LONGSHORE_CACHE=$cache \
	setsid unshare --net --mount --pid --fork --mount-proc --kill-child "$state/sandbox/sandbox.sh" \
	</dev/null >"$state/logs/sandbox.log" 2>&1 9>&- &
unshare_pid=$!
record_process unshare "$unshare_pid"
disown "$unshare_pid"
for _ in {1..50}; do
	read -r sandbox_pid _ <"/proc/$unshare_pid/task/$unshare_pid/children" || true
	[ -z "${sandbox_pid:-}" ] || break
	sleep 0.1
done
[ -n "${sandbox_pid:-}" ] || explain_failure "unshare did not start" sandbox
record_process sandbox "$sandbox_pid"

open_way_in api 6443
open_way_in registry 5000
open_way_in registry-tls 5443
open_way_in registry-basic 5444
open_way_in registry-token 5445
write_kubeconfig "$state/kubeconfig" "https://$(outside_address api)" admin

# shellcheck disable=SC2154  # set by name above
wait_until "the API answers" 120 kube-apiserver api_is_ready
wait_until "the DNS server's access is granted" 30 kube-apiserver kubectl apply -f "$state/config/dns-access.yaml"
wait_until "the registry answers" 30 registry registry_answers
wait_until "the TLS registry answers" 30 registry-tls tls_registry_answers
wait_until "the registry with Basic authentication answers" 30 registry-basic basic_registry_answers
wait_until "the registry with tokens answers" 30 token-server token_registry_answers
wait_until "the node is ready" 120 kubelet node_is_ready
wait_until "the default service account exists" 60 kube-controller-manager default_service_account_exists
wait_until "DNS answers" 60 coredns dns_answers
definition >"$state/run/definition"
say "the cluster is up: API $(outside_address api), registry $(outside_address registry) (the others: make cluster-env)"
# shellcheck disable=SC2016
say 'for your shell: eval "$(make -s cluster-env)"'
