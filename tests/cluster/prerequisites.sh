# shellcheck shell=bash  # sourced
# Programs that a build needs, and where to get them.

rust_wanted=1.95 # as Cargo.toml's rust-version
go_wanted=1.26   # as the go.mod files of build/

# Print a version, or nothing where there is none.
rust_version() { (cd "$cluster_dir" && rustc --version 2>/dev/null) | sed -n 's/^rustc \([0-9.]*\).*/\1/p'; }
go_toolchain_version() { (cd "$cluster_dir/build/kubernetes" && go version 2>/dev/null) | sed -n 's/^go version go\([0-9.]*\).*/\1/p'; }

# at_least WANTED VERSION
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# demand NAME WANTED VERSION WAY: adds to $missing.
demand() {
	local name=$1 wanted=$2 version=$3 way=$4
	if [ -z "$version" ]; then
		missing+=("$name $wanted or later; there is none in PATH. $way")
	elif ! at_least "$wanted" "$version"; then
		missing+=("$name $wanted or later; in PATH is $version. $way")
	fi
}

check_prerequisites() {
	local missing=() packages=("${cluster_packages[@]}") command
	case $(uname -s)-$(uname -m) in
	Linux-x86_64) ;;
	*) fail "this machine is $(uname -s) on $(uname -m); what is built here is for Linux on x86_64 (amd64) only" ;;
	esac

	demand Rust "$rust_wanted" "$(rust_version)" \
		"Get it from https://www.rust-lang.org/tools/install; where rustup is there: rustup update stable"
	command -v cargo >/dev/null || missing+=("cargo, which comes with Rust: is its folder (~/.cargo/bin) in PATH?")
	demand Go "$go_wanted" "$(go_toolchain_version)" \
		"Get it from https://go.dev/doc/install (distributions' packages are older); is its folder (/usr/local/go/bin) in PATH?"

	if [ "${LONGSHORE_CLUSTER:-}" = current ]; then
		# A cluster that is there needs none of the parts; the images are built all the same.
		packages=(cc:gcc cc:libc6-dev curl:curl python3:python3 mmdebstrap:mmdebstrap
			/usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring)
		for command in kubectl helm; do
			command -v "$command" >/dev/null || missing+=("$command, with which LONGSHORE_CLUSTER=current works on your cluster")
		done
	elif [ "$(id -u)" != 0 ]; then
		# shellcheck disable=SC2016  # for the person who reads it
		missing+=('root, to start a cluster (namespaces, mounts, cgroups): sudo env "PATH=$PATH" "HOME=$HOME" make demo (what it builds belongs to root then). Without root, with a cluster that you have: LONGSHORE_CLUSTER=current, see tests/cluster/README.md')
	fi

	if [ ${#missing[@]} -gt 0 ]; then
		printf 'error: this is missing:\n' >&2
		printf '  - %s\n' "${missing[@]}" >&2
		exit 1
	fi
	if [ -z "${CONTAINER_TOOL:-}" ] && ! container_tool >/dev/null; then packages+=("${image_packages[@]}"); fi
	ensure_packages "${packages[@]}"
}
