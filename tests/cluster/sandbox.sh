#!/usr/bin/env bash
# PID 1 of the cluster's own network, mount and pid namespaces: prepares them, starts every
# component and starts again what ends. Killing it ends all of them, and the kernel removes
# addresses, rules and mounts with the namespaces.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
. "$cluster_dir/components.sh"

hide_host_directories() {
	# Container tools write to fixed places (/run/netns, /var/lib/cni, /var/log/containers ...).
	# They get empty ones here, so that nothing of it reaches the machine's own.
	local kept=/run/longshore-kept
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p "$kept/state" "$kept/cache"
	mount --bind "$state" "$kept/state"
	mount --bind "$cache" "$kept/cache"
	mount -t tmpfs -o mode=755 tmpfs /var/lib
	mount -t tmpfs -o mode=755 tmpfs /var/log
	# Either may lie below what was just hidden.
	mkdir -p "$state" "$cache"
	mount --bind "$kept/state" "$state"
	mount --bind "$kept/cache" "$cache"

	# Volumes that pods mount must show in the kubelet's directory and the other way round.
	mkdir -p "$state/kubelet"
	mount --bind "$state/kubelet" "$state/kubelet"
	mount --make-rshared "$state/kubelet"
}

use_cluster_dns() {
	# containerd resolves the registries' names as any program does. The path may be a link into /run.
	local file target
	for file in resolv.conf hosts; do
		target=$(readlink -m "/etc/$file")
		mkdir -p "$(dirname "$target")"
		[ -e "$target" ] || touch "$target"
		mount --bind "$state/config/$file" "$target"
	done
}

make_network() {
	ip link set lo up
	# A veth pair, as not every kernel has dummy devices. The kubelet refuses a loopback address.
	ip link add eth0 type veth peer name uplink
	ip link set uplink up
	ip address add "$node_address/24" dev eth0
	ip link set eth0 up
	ip route add "$service_cidr" dev eth0
	# There is nothing outside: a connection attempt ends at once where it would wait for an answer.
	ip route add unreachable default
	sysctl -qw net.ipv4.ip_forward=1
	# Traffic between two pods of one bridge has to pass kube-proxy's rules too, where the kernel has it as a switch.
	sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true
}

make_cgroups() {
	local controller file
	if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
		mkdir -p "/sys/fs/cgroup/$cgroup"
		for controller in $(</sys/fs/cgroup/cgroup.controllers); do
			echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
			echo "+$controller" >"/sys/fs/cgroup/$cgroup/cgroup.subtree_control" 2>/dev/null || true
		done
		return
	fi
	for controller in /sys/fs/cgroup/*/; do
		mkdir -p "$controller$cgroup"
	done
	# A new cpuset is empty and takes no process.
	for file in cpuset.cpus cpuset.mems; do
		if [ -f "/sys/fs/cgroup/cpuset/$file" ]; then
			cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$cgroup/$file"
		fi
	done
}

# start NAME: runs it, and again a second after it ends, as a node's service manager would.
# run/NAME.ends grows by a byte at each end, so that cluster-up notices one that cannot start.
start() {
	local name=$1 exit_code
	(
		set +e
		while :; do
			("run_$name") </dev/null
			exit_code=$?
			printf '%s: %s ended with exit code %s; starting it again in a second\n' "$(date -u +%FT%TZ)" "$name" "$exit_code"
			printf x >>"$state/run/$name.ends"
			sleep 1
		done
	) >>"$state/logs/$name.log" 2>&1 &
}

# wait_for SECONDS COMMAND...
wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			say "gave up waiting for: $*"
			return 1
		fi
		sleep 0.1
	done
}

hide_host_directories
use_cluster_dns
make_network
make_cgroups
ulimit -n 1048576 2>/dev/null || ulimit -n "$(ulimit -Hn)"

for name in etcd containerd kube-apiserver registry registry-tls registry-basic registry-token token-server \
	way-in-api way-in-registry way-in-registry-tls way-in-registry-basic way-in-registry-token; do
	start "$name"
done

# shellcheck disable=SC2154  # parts' paths come from the environment
ctr() { "$containerd/ctr" --address /run/containerd/containerd.sock --namespace k8s.io "$@"; }
wait_for 60 ctr version
# shellcheck disable=SC2154
ctr images import "$pause/pause.tar"

# The others end where the API does not answer, and would be counted as failing.
wait_for 120 curl -fsS --cacert "$state/certificates/ca.crt" "https://$node_address:6443/readyz"
for name in kube-controller-manager kube-scheduler kubelet kube-proxy coredns; do
	start "$name"
done

wait
