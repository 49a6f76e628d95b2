#!/usr/bin/env bash
# Builds the tests' images, one for each way in which users' images differ, into DIRECTORY: an OCI
# layout, and a file `images` with a line of name and digest for each.
#
#   build.sh DIRECTORY DEBIAN-PART
#
# Written by hand and not by an image builder, as some of them are what no builder makes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
layout=$1 debian=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- programs, from Debian's packages and never from this machine ---

# busybox-static, and musl with its dynamic loader.
mmdebstrap --variant=extract --include=busybox-static,musl bookworm "$work/packages.tar"
mkdir "$work/packages"
tar -C "$work/packages" -xf "$work/packages.tar" --no-same-owner ./bin ./lib

# Programs that are linked to musl: Debian has none, but their sources.
apt=(apt-get -q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$work/lists"
	-o "Dir::Cache=$work/apt-cache" -o APT::Sandbox::User=root)
mkdir -p "$work/lists/partial" "$work/apt-cache/archives/partial"
cp /usr/share/keyrings/debian-archive-keyring.gpg "$work/keyring.gpg"
echo "deb-src [signed-by=$work/keyring.gpg] http://deb.debian.org/debian bookworm main" >"$work/sources.list"
"${apt[@]}" update

# source NAME: unpacks it into $work/NAME.
source_of() {
	mkdir "$work/$1"
	cd "$work/$1"
	"${apt[@]}" source --download-only "$1"
	tar --strip-components=1 -xzf "$1"_*.orig.tar.gz
}

# needs_musl PROGRAM: the point of it.
needs_musl() { readelf --program-headers "$1" | grep -q 'interpreter: /lib/ld-musl-'; }

build_dash() {
	source_of dash
	CC=musl-gcc CC_FOR_BUILD=cc ./configure --without-libedit --disable-dependency-tracking
	make
	strip src/dash
	needs_musl src/dash
}
(build_dash)

# Without OpenSSL and zlib: the keys of today need neither.
build_ssh() {
	source_of openssh
	CC=musl-gcc ./configure --prefix=/usr --sysconfdir=/etc/ssh --host=x86_64-linux-musl --without-openssl --without-zlib \
		--with-sandbox=no --without-stackprotect --without-hardening --without-pie
	make ssh ssh-keygen
	strip ssh ssh-keygen
	needs_musl ssh
}
(build_ssh)

cc -Os -static -s -o "$work/show" "$here/show.c"
musl-gcc -Os -static -s -o "$work/who" "$here/who.c"

# git and ssh, and a server to try them with.
mmdebstrap --variant=minbase --include=git,openssh-client,openssh-server --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$work/git.tar"

# --- blobs ---

size() { stat -c %s "$1"; }

# blob FILE: stores it and prints its digest.
blob() {
	local digest
	digest=$(sha256sum "$1")
	digest=${digest%% *}
	cp "$1" "$layout/blobs/sha256/$digest"
	printf 'sha256:%s' "$digest"
}

# layer NAME ARCHIVE: sets layer_descriptor[NAME] and layer_content[NAME] (the archive's own digest).
declare -A layer_descriptor layer_content
layer() {
	local name=$1 archive=$2
	layer_content[$name]=sha256:$(sha256sum <"$archive" | cut -d ' ' -f 1)
	# Fast: the base of Debian is large, and nobody keeps it for long.
	gzip -1 -n <"$archive" >"$work/layer.gz"
	layer_descriptor[$name]=$(printf '{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"%s","size":%s}' \
		"$(blob "$work/layer.gz")" "$(size "$work/layer.gz")")
}

# layer_of NAME: of the directory $work/NAME.
layer_of() {
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$work/$1" -cf "$work/$1.tar" .
	layer "$1" "$work/$1.tar"
}

# --- images ---

# manifest ARCHITECTURE CONFIG LAYER...: sets manifest_descriptor.
manifest() {
	local architecture=$1 config=$2 name descriptors='' contents=''
	shift 2
	for name in "$@"; do
		descriptors+=${descriptors:+,}${layer_descriptor[$name]}
		contents+=${contents:+,}\"${layer_content[$name]}\"
	done
	printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":[%s]}}' \
		"$architecture" "$config" "$contents" >"$work/config.json"
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%s},"layers":[%s]}' \
		"$(blob "$work/config.json")" "$(size "$work/config.json")" "$descriptors" >"$work/manifest.json"
	manifest_descriptor=$(printf '"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":%s' \
		"$(blob "$work/manifest.json")" "$(size "$work/manifest.json")")
}

# name_it NAME DESCRIPTOR: the entry of the layout's own index by which skopeo finds it.
entries=''
name_it() {
	local digest
	entries+=${entries:+,}"{$2,\"annotations\":{\"org.opencontainers.image.ref.name\":\"$1\"}}"
	digest=${2##*\"digest\":\"}
	printf '%s %s\n' "$1" "${digest%%\"*}" >>"$layout/images"
}

# image NAME CONFIG LAYER...
image() {
	local name=$1
	shift
	manifest amd64 "$@"
	name_it "$name" "$manifest_descriptor"
}

# index NAME DESCRIPTOR...: those with a platform.
index() {
	local name=$1 joined
	shift
	joined=$(IFS=,; printf '%s' "$*")
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "$joined" >"$work/index.json"
	name_it "$name" "$(printf '"mediaType":"application/vnd.oci.image.index.v1+json","digest":"%s","size":%s' \
		"$(blob "$work/index.json")" "$(size "$work/index.json")")"
}

for_platform() { printf '{%s,"platform":{"architecture":"%s","os":"linux"}}' "$2" "$1"; }

mkdir -p "$layout/blobs/sha256"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"

add_busybox() {
	local applet
	mkdir -p "$1/bin"
	cp "$work/packages/bin/busybox" "$1/bin/"
	"$work/packages/bin/busybox" --list-full | while read -r applet; do
		mkdir -p "$1/$(dirname "$applet")"
		[ -e "$1/$applet" ] || ln -s /bin/busybox "$1/$applet"
	done
}

layer glibc "$debian/base.tar"

add_busybox "$work/busybox"
layer_of busybox

# dash is its /bin/sh; what is no shell is busybox, which needs no libc.
mkdir -p "$work/musl/bin"
cp "$work/dash/src/dash" "$work/musl/bin/dash"
ln -s dash "$work/musl/bin/sh"
cp -a "$work/packages/lib" "$work/musl/"
add_busybox "$work/musl"
layer_of musl

mkdir "$work/scratch"
cp "$work/show" "$work/scratch/"
layer_of scratch

layer git "$work/git.tar"

# Users as Alpine has them, and a home of root.
mkdir -p "$work/musl-ssh/usr/bin" "$work/musl-ssh/etc" "$work/musl-ssh/root"
cp "$work/openssh/ssh" "$work/openssh/ssh-keygen" "$work/musl-ssh/usr/bin/"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n' >"$work/musl-ssh/etc/passwd"
layer_of musl-ssh

# Users as UBI has them with an application's own, whose home root's group can write.
mkdir -p "$work/ubi/etc" "$work/ubi/opt/app-root/src"
printf '%s\n' root:x:0:0:root:/root:/bin/bash 'nobody:x:65534:65534:Kernel Overflow User:/:/sbin/nologin' \
	'sshd:x:74:74::/usr/share/empty.sshd:/sbin/nologin' 'default:x:1001:0:Default Application User:/opt/app-root/src:/bin/bash' >"$work/ubi/etc/passwd"
chmod -R g=u "$work/ubi/opt"
layer_of ubi

# No shell, and the users of distroless images.
mkdir -p "$work/distroless/etc" "$work/distroless/home/nonroot"
cp "$work/who" "$work/show" "$work/distroless/"
printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin \
	nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$work/distroless/etc/passwd"
layer_of distroless

mkdir -p "$work/no-users/etc" "$work/no-users/root"
cp "$work/who" "$work/no-users/"
printf 'root:x:0:0:root:/root:/sbin/nologin\n' >"$work/no-users/etc/passwd"
layer_of no-users

mkdir -p "$work/app/etc"
printf 'root:x:0:0::/:/bin/sh\napp:x:1234:5678::/:/bin/sh\n' >"$work/app/etc/passwd"
printf 'root:x:0:\napp:x:5678:\n' >"$work/app/etc/group"
layer_of app

mkdir -p "$work/folders/srv/app" "$work/folders/srv/closed"
echo own >"$work/folders/srv/app/own.txt"
chmod 0700 "$work/folders/srv/closed"
layer_of folders

# busybox with a header that says AArch64 (183): no amd64 machine runs it.
cp -a "$work/busybox" "$work/arm64"
printf '\267\0' | dd of="$work/arm64/bin/busybox" bs=1 seek=18 conv=notrunc status=none
layer_of arm64

path='"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]'
shell="{$path,\"Cmd\":[\"/bin/sh\"]}"
image glibc "{$path,\"Cmd\":[\"/bin/bash\"]}" glibc
image musl "$shell" musl
image busybox "$shell" busybox
amd64=$manifest_descriptor
image scratch '{"Entrypoint":["/show"]}' scratch
image git "$shell" git
image git-ubi "{$path,\"User\":\"1001\"}" git ubi
image musl-ssh "$shell" musl musl-ssh
image distroless "{$path,\"User\":\"65532\"}" distroless
image no-users "{$path}" no-users
# Whoever runs these fails.
image entrypoint "{$path,\"Entrypoint\":[\"/bin/false\"],\"Cmd\":[\"an argument of the image\"]}" busybox
image user-numeric "{$path,\"User\":\"1234\"}" busybox
image user-numeric-group "{$path,\"User\":\"1234:5678\"}" busybox
image user-named "{$path,\"User\":\"app\"}" busybox app
image workdir "{$path,\"WorkingDir\":\"/srv/app\"}" busybox folders
image workdir-closed "{$path,\"WorkingDir\":\"/srv/closed\"}" busybox folders
image workdir-missing "{$path,\"WorkingDir\":\"/srv/missing\"}" busybox folders
image user-root "{$path,\"User\":\"0\"}" busybox
image user-none "{$path}" busybox
manifest arm64 "$shell" arm64
arm64=$manifest_descriptor
name_it arm64-manifest "$arm64"
index arm64-index "$(for_platform arm64 "$arm64")"
index two-platforms "$(for_platform arm64 "$arm64")" "$(for_platform amd64 "$amd64")"

printf '{"schemaVersion":2,"manifests":[%s]}' "$entries" >"$layout/index.json"
