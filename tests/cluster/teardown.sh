# shellcheck shell=bash  # sourced
# Ends a cluster, whole or half dead, and what it changed on the machine. Works without packages
# and builds, from what is recorded in the state directory.

end_processes() {
	local file
	# Of the cluster that runs, which may have been started with other ways in.
	for file in "$state"/run/outside-*.process; do
		[ -f "$file" ] && process_stop "$(basename "$file" .process)"
	done
	# With unshare ends the sandbox's PID 1, and with that every process in it.
	process_stop unshare
	process_stop sandbox
}

remove_cgroups() {
	local root directory cgroup=$cgroup
	# What the one that runs was started with counts, should settings.sh have changed since.
	if [ -s "$state/run/cgroup" ]; then read -r cgroup <"$state/run/cgroup"; fi
	for root in /sys/fs/cgroup "/sys/fs/cgroup"/*/; do
		directory=${root%/}/$cgroup
		[ -d "$directory" ] || continue
		# Only directories can be removed there, the deepest first, once the kernel has let go of the last process.
		for _ in {1..50}; do
			find "$directory" -depth -type d -exec rmdir {} + 2>/dev/null || true
			[ -d "$directory" ] || break
			sleep 0.1
		done
		[ ! -d "$directory" ] || say "warning: $directory is still in use"
	done
}

# The kubelet sets these for the whole machine.
kubelet_sysctls=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

save_sysctls() {
	local name
	for name in "${kubelet_sysctls[@]}"; do
		sysctl -e "$name" 2>/dev/null || true
	done >"$state/run/sysctls"
}

restore_sysctls() {
	[ -f "$state/run/sysctls" ] || return 0
	sysctl -q -e -p "$state/run/sysctls" >/dev/null 2>&1 || true
}

# Ends everything and keeps the logs.
end_cluster() {
	[ -d "$state" ] || return 0
	if [ -d "$state/run" ]; then end_processes; fi
	remove_cgroups
	restore_sysctls
}

remove_state() {
	[ -d "$state" ] || return 0
	[ -f "$state/.longshore-cluster" ] || fail "$state was not made by cluster-up; it is left alone"
	rm -rf --one-file-system "$state"
}
