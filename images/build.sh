#!/usr/bin/env bash
# Builds Longshore's images and pushes them to $LONGSHORE_PUSH_REGISTRY. A tag is derived from what
# is in the image, so that a tag which the registry has need not be built, and a node never runs
# an old image under a new tag.
#
#   build.sh                the operator, the runner, the examples; their tags are left in
#                           target/images/tags.env
#   build.sh worker-tools   the image with deployment tools; its list of contents is left in
#                           target/images/worker-tools.cdx.json
#
#   CONTAINER_TOOL=buildah|podman|docker   the first that is there and works, unless named
#                                          (buildah is what is tried; docker was not tried)
#   LONGSHORE_BINARIES=DIR                 binaries from DIR, where cargo has not to build them
set -euo pipefail

images_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository_dir=$(dirname "$images_dir")
. "$repository_dir/tests/cluster/settings.sh"
. "$repository_dir/tests/cluster/packages.sh"

environment=$("$cluster_dir/env.sh")
eval "$environment"
push_registry=$LONGSHORE_PUSH_REGISTRY

target_dir=${CARGO_TARGET_DIR:-$repository_dir/target}
version=$(sed -n '/^\[package\]/,/^\[/s/^version *= *"\(.*\)"/\1/p' "$repository_dir/Cargo.toml")

# Plain HTTP and no check of certificates for a registry on this machine only.
case $push_registry in
127.* | localhost | localhost:*) scheme=http verify=false ;;
*) scheme=https verify=true ;;
esac

choose_tool() {
	if [ -z "${CONTAINER_TOOL:-}" ] && ! CONTAINER_TOOL=$(container_tool); then
		ensure_packages "${image_packages[@]}"
		CONTAINER_TOOL=buildah
	fi
	command -v "$CONTAINER_TOOL" >/dev/null || fail "CONTAINER_TOOL=$CONTAINER_TOOL is not in PATH"
}

# Storage of our own: vfs and chroot need nothing of the kernel, and nobody's images are touched.
in_buildah() {
	buildah --root "$cache/images/storage" --runroot "$cache/images/run" --storage-driver vfs "$@"
}

build_binaries() {
	if [ -n "${LONGSHORE_BINARIES:-}" ]; then
		binaries=$LONGSHORE_BINARIES
		return
	fi
	say "building the binaries (static) ..."
	(cd "$repository_dir" && static_cargo build --release --locked --bins)
	binaries=$target_dir/$static_target/release
}

# The image's tag, from the content of its context.
content_tag() {
	local hash
	hash=$(cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
	printf '%s-%s\n' "$version" "${hash:0:12}"
}

manifest_url() { printf '%s://%s/v2/%s/manifests/%s' "$scheme" "$push_registry" "$1" "$2"; }

registry_has() {
	curl -fsS --max-time 10 -o /dev/null -I -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
		-H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "$(manifest_url "$1" "$2")" 2>/dev/null
}

# Imports the Debian base once, and prints its name.
base_image() {
	local path name container
	path=$("$cluster_dir/build/build.sh" --path debian)
	name=localhost/longshore-base:${path##*-}
	if ! in_buildah inspect --type image "$name" >/dev/null 2>&1; then
		container=$(in_buildah from scratch)
		in_buildah add --quiet "$container" "$path/base.tar" >/dev/null
		in_buildah commit --quiet --rm "$container" "$name" >/dev/null
	fi
	printf '%s\n' "$name"
}

# Further options of the builder.
build_options=()

# build_image NAME TAG CONTEXT [BUILD-ARGUMENT...]
build_image() {
	local name=$1 tag=$2 context=$3 argument arguments
	shift 3
	arguments=(--build-arg "VERSION=$tag")
	for argument in "$@"; do arguments+=(--build-arg "$argument"); done
	case $CONTAINER_TOOL in
	buildah)
		in_buildah bud --isolation chroot --network host --format oci --signature-policy "$images_dir/policy.json" \
			"${build_options[@]}" "${arguments[@]}" --file "$context/Containerfile" --tag "localhost/$name:$tag" "$context"
		;;
	podman) podman build --format oci "${build_options[@]}" "${arguments[@]}" --file "$context/Containerfile" --tag "localhost/$name:$tag" "$context" ;;
	docker) docker build "${arguments[@]}" --file "$context/Containerfile" --tag "localhost/$name:$tag" "$context" ;;
	esac
}

have_image() {
	case $CONTAINER_TOOL in
	buildah) in_buildah inspect --type image "localhost/$1:$2" ;;
	*) "$CONTAINER_TOOL" image inspect "localhost/$1:$2" ;;
	esac >/dev/null 2>&1
}

push_image() {
	local name=$1 tag=$2 to=$push_registry/$1:$2
	case $CONTAINER_TOOL in
	buildah)
		in_buildah push --quiet --tls-verify="$verify" --signature-policy "$images_dir/policy.json" \
			"localhost/$name:$tag" "docker://$to" >/dev/null
		;;
	podman) podman push --quiet --tls-verify="$verify" "localhost/$name:$tag" "docker://$to" ;;
	docker) docker tag "localhost/$name:$tag" "$to" && docker push --quiet "$to" >/dev/null ;;
	esac
}

lock_storage() {
	exec 8>"$cache/images/lock"
	flock 8
}

# Each build of the operator is another image: without this the cache would grow by it every time.
remove_older() {
	local name=$1 tag=$2 other
	[ "$CONTAINER_TOOL" = buildah ] || return 0
	in_buildah images --format '{{.Name}}:{{.Tag}}' | grep -F "localhost/$name:" | grep -vFx "localhost/$name:$tag" |
		while read -r other; do in_buildah rmi "$other" >/dev/null || true; done || true
}

# publish NAME TAG CONTEXT [BUILD-ARGUMENT...]
publish() {
	local name=$1 tag=$2 start=$SECONDS
	if registry_has "$name" "$tag"; then
		say "$name:$tag is in the registry"
		return
	fi
	if ! have_image "$name" "$tag"; then
		say "building image $name:$tag ..."
		if ! build_image "$@" >"$cache/images/$name.log" 2>&1; then
			tail -n 30 "$cache/images/$name.log" >&2
			fail "building image $name failed; its whole output is in $cache/images/$name.log"
		fi
	fi
	push_image "$name" "$tag"
	remove_older "$name" "$tag"
	say "pushed $name:$tag to $push_registry ($((SECONDS - start)) s)"
}

# add_tag NAME TAG OTHER: for people who write an example by hand; never used by what is deployed.
add_tag() {
	local manifest type
	manifest=$(mktemp)
	type=$(curl -fsS -o "$manifest" -w '%{content_type}' -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
		-H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "$(manifest_url "$1" "$2")")
	curl -fsS -o /dev/null -X PUT -H "Content-Type: $type" --data-binary "@$manifest" "$(manifest_url "$1" "$3")"
	rm -f "$manifest"
}

publish_longshore() {
	local clients debian binaries image operator_tag runner_tag examples_tag arguments
	"$cluster_dir/build/build.sh" clients debian
	clients=$("$cluster_dir/build/build.sh" --path clients)
	debian=$("$cluster_dir/build/build.sh" --path debian)
	build_binaries

	for image in operator runner examples; do
		mkdir "$work/$image"
		cp "$images_dir/$image/Containerfile" "$work/$image/"
	done
	cp "$binaries/longshore" "$debian/ca-certificates.crt" "$work/operator/"
	cp "$binaries/longshore-runner" "$binaries/longshore-fetch" "$debian/ca-certificates.crt" "$work/runner/"
	cp -L "$clients/kubectl" "$work/examples/"
	# Not copied into the image; a change of the base is a change of the tag.
	basename "$debian" >"$work/examples/base"

	operator_tag=$(content_tag "$work/operator")
	runner_tag=$(content_tag "$work/runner")
	examples_tag=$(content_tag "$work/examples")

	lock_storage
	publish longshore "$operator_tag" "$work/operator"
	publish longshore-runner "$runner_tag" "$work/runner"
	if ! registry_has examples "$examples_tag"; then
		arguments=()
		# docker and podman have their own base; here there may be no registry to take one from.
		if [ "$CONTAINER_TOOL" = buildah ] && ! have_image examples "$examples_tag"; then arguments=("BASE=$(base_image)"); fi
		publish examples "$examples_tag" "$work/examples" "${arguments[@]}"
		add_tag examples "$examples_tag" "$version"
	else
		publish examples "$examples_tag" "$work/examples"
	fi

	cat >"$target_dir/images/tags.env" <<TAGS
LONGSHORE_TAG=$operator_tag
LONGSHORE_RUNNER_TAG=$runner_tag
LONGSHORE_EXAMPLES_TAG=$examples_tag
TAGS
}

publish_worker_tools() {
	local here=$images_dir/worker-tools context=$work/worker-tools date tag sbom
	date=$(sed -n 's/^date //p' "$here/packages.lock")
	python3 -m pip --version >/dev/null 2>&1 || ensure_packages pip3:python3-pip
	"$cluster_dir/build/build.sh" clients yq sbom
	"$here/context.sh" "$context"
	tag=$(content_tag "$context")
	sbom=$cache/images/worker-tools-$tag.cdx.json

	# The packages are installed where the image is missing or its list of contents.
	if [ ! -e "$sbom" ] || ! { registry_has worker-tools "$tag" || have_image worker-tools "$tag"; }; then
		say "installing the Debian packages of worker-tools $date (the lock list) ..."
		"$here/rootfs.sh" "$context/rootfs.tar"
		"$here/sbom.sh" "$context" >"$work/sbom"
		install -m 644 "$work/sbom" "$context/share/sbom.cdx.json"
		cp "$context/share/sbom.cdx.json" "$sbom"
	fi
	# With the lock list's date and not today's, the same content is the same digest. Docker has no such option.
	[ "$CONTAINER_TOOL" = docker ] || build_options=(--timestamp "$(date -u -d "$date" +%s)")
	lock_storage
	publish worker-tools "$tag" "$context"
	add_tag worker-tools "$tag" "$date"
	say "worker-tools:$date is worker-tools:$tag"
	cp "$sbom" "$target_dir/images/worker-tools.cdx.json"
	find "$cache/images" -maxdepth 1 -name 'worker-tools-*.cdx.json' ! -path "$sbom" -delete
}

choose_tool
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache/images" "$target_dir/images"
case ${1:-} in
'') publish_longshore ;;
worker-tools) publish_worker_tools ;;
*) fail "usage: build.sh [worker-tools]" ;;
esac
