#!/usr/bin/env bash
# The image's Debian, with exactly the packages that packages.lock lists.
#
#   rootfs.sh OUT.tar            writes it
#   rootfs.sh --update            writes a lock list of what the mirror has today
#
#   WORKER_TOOLS_LOCK=FILE       another lock list than packages.lock
#   WORKER_TOOLS_SOURCES=FILE    a sources.list for the build, such as of a mirror that keeps old
#                                versions; the image itself names deb.debian.org
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../tests/cluster/settings.sh"
. "$cluster_dir/packages.sh"
ensure_packages mmdebstrap:mmdebstrap /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# mmdebstrap gives up root's rights for some of its steps.
chmod 755 "$work"

cat >"$work/image.sources" <<'SOURCES'
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
SOURCES
sources=${WORKER_TOOLS_SOURCES:-$work/image.sources}
[ -r "$sources" ] || fail "WORKER_TOOLS_SOURCES=$sources cannot be read"
# By name: a machine with another system does not trust Debian's keys of itself.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
sed "/signed-by=/! { s|^deb \\[|deb [signed-by=$keyring |; t; s|^deb |deb [signed-by=$keyring] | }" "$sources" >"$work/sources.list"

mapfile -t wanted < <(sed -n 's/^[^#|]*| *deb \([^ ]*\) *|.*/\1/p' "$here/tools")
include=$(IFS=,; printf '%s' "${wanted[*]}")

# debootstrap ARGUMENT...: the tar and the hooks are the caller's.
debootstrap() {
	mmdebstrap --variant=minbase --include="$include" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
		"$@" - <"$work/sources.list"
}

# The lock list's packages, "name version" a line.
locked() { sed '/^#/d; /^date /d' "$lock"; }

# As mmdebstrap's hook, whose $1 is the root.
list_packages="chroot \"\$1\" dpkg-query --show --showformat '\${Package} \${Version}\n' | LC_ALL=C sort >$work/packages"

update() {
	local log=$work/log
	debootstrap --format=null --customize-hook="$list_packages" bookworm /dev/null >"$log" 2>&1 ||
		{ tail -n 30 "$log" >&2; fail "mmdebstrap failed"; }
	if [ -e "$lock" ] && diff -q <(locked) "$work/packages" >/dev/null; then
		say "the packages are those of the lock list of $(sed -n 's/^date //p' "$lock")"
		return
	fi
	{
		printf '# All Debian packages of the image, each with its version. Written by: make worker-tools-update\n'
		printf 'date %s\n' "$(date -u +%F)"
		cat "$work/packages"
	} >"$lock"
	say "wrote $(wc -l <"$work/packages") packages to $lock"
}

# Fails where the mirror does not have all of the versions, and names those that it has not.
check_mirror() {
	local missing options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$work/lists"
		-o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=- -o Dir::State::status=/dev/null -o "Dir::Cache=$work/apt-cache"
		-o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Sandbox::User=root)
	mkdir -p "$work/lists/partial" "$work/apt-cache/archives/partial"
	apt-get -q "${options[@]}" update >/dev/null || fail "the package lists of the Debian mirror cannot be read"
	locked | LC_ALL=C sort >"$work/wanted"
	locked | cut -d ' ' -f 1 | xargs apt-cache "${options[@]}" madison |
		sed 's/^ *\([^ ]*\) | *\([^ ]*\) |.*/\1 \2/' | LC_ALL=C sort -u >"$work/had"
	missing=$(LC_ALL=C comm -23 "$work/wanted" "$work/had")
	[ -n "$missing" ] || return 0
	{
		printf 'error: the Debian mirror does not have these packages of the lock list %s (any more):\n' "$lock"
		printf '  %s\n' "${missing//$'\n'/$'\n'  }"
		printf 'Either take what it has today:  make worker-tools-update   (and commit the result)\n'
		printf 'or build from a mirror that keeps old versions: see WORKER_TOOLS_SOURCES in docs/guides/worker-tools.md\n'
	} >&2
	exit 1
}

build() {
	local out=$1 log=$work/log date
	# apt would only say of one package that it cannot be installed.
	check_mirror
	date=$(sed -n 's/^date //p' "$lock")
	# apt installs the locked versions and knows of no others.
	{
		printf 'Package: *\nPin: release *\nPin-Priority: -1\n'
		locked | sed 's/\([^ ]*\) \(.*\)/\nPackage: \1\nPin: version \2\nPin-Priority: 1001/'
	} >"$work/longshore-lock.pref"
	if ! SOURCE_DATE_EPOCH=$(date -u -d "$date" +%s) debootstrap \
		--setup-hook="cp $work/longshore-lock.pref \"\$1/etc/apt/preferences.d/\"" \
		--customize-hook="rm \"\$1/etc/apt/preferences.d/longshore-lock.pref\"" \
		--customize-hook="cp $work/image.sources \"\$1/etc/apt/sources.list\"" \
		--customize-hook="$list_packages" \
		--customize-hook="'$here/customize.sh' \"\$1\"" \
		bookworm "$out" >"$log" 2>&1; then
		tail -n 30 "$log" >&2
		rm -f "$out"
		fail "mmdebstrap failed"
	fi
	# More than the list, or less, is not what was locked.
	diff <(locked) "$work/packages" >&2 || fail "what was installed is not what $lock lists: make worker-tools-update"
}

lock=${WORKER_TOOLS_LOCK:-$here/packages.lock}
case ${1:-} in
--update) update ;;
'') fail "usage: rootfs.sh OUT.tar | --update" ;;
*) build "$1" ;;
esac
