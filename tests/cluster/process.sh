# shellcheck shell=bash  # sourced
# Processes of ours, by pid and start time: a pid alone may have become somebody else's.

# Prints the state (a letter) and the start time of a pid.
process_stat() {
	local stat
	{ stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
	# The command's name may hold blanks and parentheses: fields are counted from the last ")".
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	printf '%s %s\n' "$1" "${20}"
}

record_process() {
	local name=$1 pid=$2 start
	read -r _ start < <(process_stat "$pid") || fail "$name ended at once"
	printf '%s %s\n' "$pid" "$start" >"$state/run/$name.process"
}

# Prints the pid of NAME and succeeds if it is alive and still the one that was recorded. A zombie is
# not: it runs nothing, and who has to reap it may never do so.
process_pid() {
	local pid recorded letter start
	{ read -r pid recorded <"$state/run/$1.process"; } 2>/dev/null || return 1
	read -r letter start < <(process_stat "$pid") || return 1
	[ "$start" = "$recorded" ] || return 1
	case $letter in [ZX]) return 1 ;; esac
	printf '%s\n' "$pid"
}

process_stop() {
	local name=$1 pid
	while pid=$(process_pid "$name"); do
		kill -KILL "$pid" 2>/dev/null || true
		sleep 0.05
	done
	rm -f "$state/run/$name.process"
}
