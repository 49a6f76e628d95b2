# shellcheck shell=bash disable=SC2034  # sourced: what is set here is used by those that source it
# Where the cluster keeps things and which addresses it has.

cluster_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Built parts. Outside the work tree, so that a fresh clone finds them.
cache=${LONGSHORE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/longshore}
# Everything a running cluster writes; removed by cluster-down.
state=${LONGSHORE_STATE:-/var/lib/longshore-cluster}

node_name=longshore-node
node_address=10.77.0.2
pod_cidr=10.244.0.0/16
service_cidr=10.96.0.0/16
api_service_address=10.96.0.1

# As nodes and pods know the registries; those with names have TLS, with certificates of a private CA.
registry=$node_address:5000
tls_registry_host=registry.longshore.test
tls_registry=$tls_registry_host:5443
# These two want to know who asks: by HTTP Basic, and by a token that their token server issues.
basic_registry_host=basic.longshore.test
basic_registry=$basic_registry_host:5444
token_registry_host=token.longshore.test
token_registry=$token_registry_host:5445

# Test values, which open nothing but these two. A password may hold a colon: the first one ends the
# user's name. config/registry-htpasswd has the hashes.
pull_user=puller
pull_password=pull:3f9c7a51d2
push_user=pusher
push_password=push:8e04b6d9aa

# The kubelet's cgroups go under one of our own, so that only ours are removed.
cgroup=longshore-cluster-$(printf '%s' "$state" | cksum | cut -d ' ' -f 1)

say() { printf '%s\n' "$*"; }
fail() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Shipped binaries are linked statically. The target is named, even where it is the machine's own: without it the
# flags would reach procedural macros, which cannot be static.
static_target=x86_64-unknown-linux-gnu
static_cargo() {
	local command=$1
	shift
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static" \
		cargo "$command" --target "$static_target" "$@"
}

# Builds the tests with these arguments, and the binaries that they start. They are static, so that a cluster
# can run the same binaries. One more way to build them takes two slow cores half an hour.
cargo_test() { static_cargo test --locked "$@"; }

# tests_of TARGET BEGINNING... [-- OPTION...]: runs the tests of tests/TARGET.rs whose names begin so (such as
# `access::`, a regular expression), or all of them. Fails where a beginning is of no test: cargo would pass.
tests_of() {
	local target=$1 listed beginning beginnings=() found names=()
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		beginnings+=("$1")
		shift
	done
	listed=$(cargo_test "${test_build[@]}" --test "$target" -- --list) || return 1
	for beginning in "${beginnings[@]:-}"; do
		if ! found=$(grep "^$beginning.*: test\$" <<<"$listed"); then
			printf 'error: no test of tests/%s.rs begins with %s\n%s\n' "$target" "$beginning" "$listed" >&2
			return 1
		fi
		mapfile -t -O ${#names[@]} names <<<"${found//: test/}"
	done
	# By their whole names: cargo takes a filter for any part of a name.
	cargo_test "${test_build[@]}" --test "$target" -- --exact "${names[@]}" "${@:2}"
}
# How it builds them, such as --release.
test_build=()

# Builds the binaries as the tests start them, and prints the folder in which they are without symbols.
tested_binaries() {
	local target_dir name
	target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
	cargo_test --quiet --no-run --test process >&2
	mkdir -p "$target_dir/tested"
	for name in longshore longshore-runner longshore-fetch; do
		strip -o "$target_dir/tested/$name" "$target_dir/$static_target/debug/$name"
	done
	printf '%s\n' "$target_dir/tested"
}

# Paths end up in configuration files and in Unix socket addresses (107 bytes at most).
case $state$cache in
*[[:space:]\"\'\&\|]*) fail "LONGSHORE_STATE and LONGSHORE_CACHE may hold no blanks, quotes, & or |: $state, $cache" ;;
esac
case $state in
/*) ;;
*) fail "LONGSHORE_STATE must be an absolute path: $state" ;;
esac
[ ${#state} -le 60 ] || fail "LONGSHORE_STATE is longer than 60 bytes, too long for the sockets in it: $state"
