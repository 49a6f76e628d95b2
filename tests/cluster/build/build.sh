#!/usr/bin/env bash
# Builds the parts of the cluster that no Debian package has, each into a directory of the
# cache that is named by a hash of what it is built from.
#
#   build.sh [PART...]     builds what is missing (all parts unless named)
#   build.sh --path PART   prints where PART is, built or not
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../settings.sh"
build_dir=$cluster_dir/build

# Without a name: what a cluster needs. cargo-deny is built for `make lint` alone, gitops for
# tests/gitops, monitoring for the chart's tests, s3 for tests/archive, yq and sbom for the worker-tools image.
# In the order in which they are worth waiting for: what fails soon comes first.
parts=(clients pause token-server runc etcd coredns containerd kubernetes debian)

declare -A about=(
	[clients]="helm 4.3.1 and kubectl 1.37.1 (seconds)"
	[pause]="the pause image's program (a second)"
	[etcd]="etcd 3.6.16 (about 1 minute the first time)"
	[coredns]="CoreDNS 1.15.0 (about 2 minutes the first time)"
	[token-server]="the token server of a registry (seconds)"
	[runc]="runc 1.3.4 (some seconds the first time)"
	[containerd]="containerd 2.2.9 (about 2 minutes the first time)"
	[kubernetes]="Kubernetes 1.37.2 (about 9 minutes the first time)"
	[monitoring]="promtool and definitions of Prometheus' operator (seconds)"
	[cargo-deny]="cargo-deny 0.20.2 (seconds)"
	[gitops]="what GitOps tools make of objects (about 1 minute the first time)"
	[debian]="a Debian base image (half a minute)"
	[s3]="a server that speaks S3 (seconds)"
	[yq]="yq 4.54.2 (half a minute the first time)"
	[sbom]="debsbom 0.10.2 and CycloneDX's schema checks (seconds)"
)

go_version() {
	# Once for all parts, and from the kubernetes module's directory: its go.mod may choose the toolchain.
	if [ -z "${go_version_text:-}" ]; then
		command -v go >/dev/null || fail "go is missing: Go 1.26 or later builds Kubernetes (no Debian package is new enough; see https://go.dev/doc/install)"
		go_version_text=$(cd "$build_dir/kubernetes" && go version)
	fi
}

part_path() {
	local part=$1 key
	[ -f "$build_dir/$part/build.sh" ] || fail "no such part: $part (there are: ${parts[*]})"
	if [ -f "$build_dir/$part/go.mod" ]; then go_version; fi
	key=$(
		cd "$build_dir/$part"
		{
			if [ -f go.mod ]; then printf '%s\n' "$go_version_text"; fi
			uname -m
			sha256sum -- *
		} | sha256sum
	)
	printf '%s/%s-%s\n' "$cache" "$part" "${key:0:16}"
}

build_part() {
	local part=$1 path=$2 tmp start=$SECONDS
	say "building ${about[$part]} ..."
	mkdir -p "$cache/logs"
	tmp=$(mktemp -d "$cache/.$part.XXXXXX")
	chmod 755 "$tmp"
	if ! (cd "$build_dir/$part" && ./build.sh "$tmp") >"$cache/logs/$part.log" 2>&1; then
		tail -n 30 "$cache/logs/$part.log" >&2
		rm -rf "$tmp"
		fail "building $part failed; its whole output is in $cache/logs/$part.log"
	fi
	mv -T "$tmp" "$path"
	say "built $part in $((SECONDS - start)) s"
}

if [ "${1:-}" = --path ]; then
	if [ -f "$build_dir/$2/go.mod" ]; then go_version; fi
	part_path "$2"
	exit
fi

if [ $# -gt 0 ]; then wanted=("$@"); else wanted=("${parts[@]}"); fi
go_version
for part in "${wanted[@]}"; do
	path=$(part_path "$part")
	if [ -d "$path" ]; then continue; fi
	# Where somebody else is building it, what comes of that is waited for.
	mkdir -p "$cache"
	exec {lock}>"$cache/.$part.lock"
	flock "$lock"
	if [ ! -d "$path" ]; then build_part "$part" "$path"; fi
	exec {lock}>&-
done
