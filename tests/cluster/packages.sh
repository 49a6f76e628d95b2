# shellcheck shell=bash disable=SC2034  # sourced
# The Debian packages that the cluster and the images need, by the command that proves each.

cluster_packages=(
	cc:gcc cc:libc6-dev openssl:openssl curl:curl ip:iproute2 iptables:iptables conntrack:conntrack socat:socat
	pkg-config:pkg-config /usr/include/seccomp.h:libseccomp-dev /usr/lib/cni/bridge:containernetworking-plugins docker-registry:docker-registry
	mmdebstrap:mmdebstrap /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
	unshare:util-linux sysctl:procps python3:python3 /etc/ssl/certs/ca-certificates.crt:ca-certificates
)
image_packages=(buildah:buildah curl:curl)
test_image_packages=(
	cc:gcc cc:libc6-dev readelf:binutils make:make musl-gcc:musl-tools mmdebstrap:mmdebstrap
	/usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring skopeo:skopeo
)

# Prints the first builder of images that works. A docker client alone, as many machines have, builds
# nothing without its daemon.
container_tool() {
	local name
	for name in buildah podman docker; do
		command -v "$name" >/dev/null || continue
		if [ "$name" = docker ] && ! timeout 10 docker info >/dev/null 2>&1; then continue; fi
		printf '%s\n' "$name"
		return
	done
	return 1
}

# ensure_packages COMMAND:PACKAGE...
ensure_packages() {
	local entry command package missing=() wants=()
	for entry in "$@"; do
		command=${entry%%:*} package=${entry#*:}
		if [ "${command#/}" != "$command" ]; then
			[ -e "$command" ] && continue
		else
			PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null && continue
		fi
		missing+=("$command") wants+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		printf 'error: missing: %s\n' "${missing[*]}" >&2
		printf 'They are in the Debian packages: %s\n' "${wants[*]}" >&2
		printf 'As root: apt-get install --no-install-recommends %s\n' "${wants[*]}" >&2
		exit 1
	fi
	say "installing Debian packages: ${wants[*]} ..."
	install_packages "${wants[@]}"
}

install_packages() {
	local log policy=/usr/sbin/policy-rc.d ours=
	log=$(mktemp)
	# docker-registry's package starts a service on the very port that may be taken; ours is another one.
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
		ours=1
	fi
	local rc=0
	{
		export DEBIAN_FRONTEND=noninteractive
		apt-get update -q && apt-get install -q -y --no-install-recommends "$@"
	} >"$log" 2>&1 || rc=$?
	if [ -n "$ours" ]; then rm -f "$policy"; fi
	if [ "$rc" -ne 0 ]; then
		tail -n 20 "$log" >&2
		fail "apt-get could not install: $*; its whole output is in $log"
	fi
	rm -f "$log"
	if [[ " $* " == *" docker-registry "* ]] && [ -d /run/systemd/system ]; then
		systemctl disable --quiet docker-registry.service || true
	fi
}
