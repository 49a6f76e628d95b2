#!/usr/bin/env bash
# From a fresh machine to the first finished actions. Running it again is quick and ends the same.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
. "$cluster_dir/packages.sh"
. "$cluster_dir/prerequisites.sh"
repository_dir=$(cd "$cluster_dir/../.." && pwd)
cd "$repository_dir"

# Namespace, name and the phase that is expected of each: a failure is a part of the show.
examples=(
	"default hello Succeeded"
	"default python Succeeded"
	"shop deploy-workload Succeeded"
	"default failing Failed"
)
finish_timeout=180 # seconds; what they need is a few
# As the examples name the registry of tests/cluster; another cluster has another one.
examples_registry=10.77.0.2:5000

steps=6 step=0
elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }
begin_step() {
	step=$((step + 1))
	printf '\n[%s] %d/%d %s\n' "$(elapsed)" "$step" "$steps" "$1"
}

# show COMMAND...: what a person would type, and what comes.
show() {
	local word line=
	for word in "$@"; do
		case $word in *[!A-Za-z0-9_./:=@,-]*) word="'$word'" ;; esac
		line+=" $word"
	done
	printf '\n$%s\n' "$line"
	"$@"
}

field() { kubectl --namespace "$1" get deploymentaction "$2" --output "jsonpath={$3}"; }

# explain NAMESPACE NAME MESSAGE: all that helps to see why, then ends.
explain() {
	local namespace=$1 name=$2
	{
		kubectl --namespace "$namespace" describe deploymentaction "$name" || true
		kubectl --namespace "$namespace" get pods --selector "longshore.dev/action=$name" --output wide || true
		kubectl --namespace "$namespace" get events --sort-by=.lastTimestamp | tail -n 15 || true
		kubectl --namespace longshore-system logs --selector app.kubernetes.io/name=longshore --tail 30 --prefix || true
	} >&2
	fail "$3; above are the action, its pods, the namespace's events and the operator's log"
}

# wait_for NAMESPACE NAME PHASE
wait_for() {
	local namespace=$1 name=$2 expected=$3 generation phase
	generation=$(field "$namespace" "$name" .metadata.generation)
	# Finished may be of the spec before this one: first the operator must have seen this one.
	kubectl --namespace "$namespace" wait deploymentaction "$name" --timeout "${finish_timeout}s" \
		--for "jsonpath={.status.observedGeneration}=$generation" >/dev/null ||
		explain "$namespace" "$name" "the operator did not look at the action $namespace/$name within $finish_timeout s"
	kubectl --namespace "$namespace" wait deploymentaction "$name" --timeout "${finish_timeout}s" \
		--for condition=Finished >/dev/null ||
		explain "$namespace" "$name" "the action $namespace/$name did not finish within $finish_timeout s"
	phase=$(field "$namespace" "$name" .status.phase)
	[ "$phase" = "$expected" ] ||
		explain "$namespace" "$name" "the action $namespace/$name ended as $phase and not as $expected"
	if [ "$expected" = Failed ]; then phase+=", as it should"; fi
	printf '%-24s %s\n' "$namespace/$name" "$phase"
}

apply_example() {
	local namespace=$1 name=$2 in_namespace=()
	# A file that brings its own namespace names it in each object.
	[ "$namespace" = shop ] || in_namespace=(--namespace "$namespace")
	sed "s|$examples_registry/|$LONGSHORE_REGISTRY/|g" "examples/$name.yaml" | kubectl apply "${in_namespace[@]}" --filename -
}

# The kubectl plugin, if somebody has built it.
plugin_directory() {
	local directory
	for directory in "${CARGO_TARGET_DIR:-target}"/{"$static_target"/release,release,debug}; do
		if [ -x "$directory/kubectl-longshore" ]; then
			(cd "$directory" && pwd)
			return
		fi
	done
	return 1
}

show_log() {
	local namespace=$1 name=$2 directory
	if directory=$(plugin_directory); then
		PATH=$directory:$PATH show kubectl longshore logs "$name" --namespace "$namespace"
	else
		show kubectl logs "$(field "$namespace" "$name" .status.run.podName)" --namespace "$namespace" --container action
		say "(number, kind (o: stdout, e: stderr), milliseconds, text; status.log.tail has the text alone)"
	fi
}

# The log as somebody reads it who has a right on the action, and none on pods.
show_log_by_right() {
	local path=/apis/log.longshore.dev/v1alpha1/namespaces/$1/deploymentactions/$2/log
	kubectl wait apiservice v1alpha1.log.longshore.dev --for condition=Available --timeout 60s >/dev/null ||
		fail "the log server does not answer: kubectl --namespace longshore-system logs --selector app.kubernetes.io/instance=longshore --all-containers"
	show kubectl get --raw "$path?tailLines=3"
}

# The archive of logs, in a volume, as flags of helm. Nothing if the cluster has none to give.
archive_flags() {
	local class=longshore-archive folder=$state/archive
	if [ "${LONGSHORE_CLUSTER:-}" = current ]; then
		class=$(kubectl get storageclass --output \
			'jsonpath={.items[?(@.metadata.annotations.storageclass\.kubernetes\.io/is-default-class=="true")].metadata.name}')
		[ -n "$class" ] || return 0
		class=${class%% *}
	else
		# The node is this machine, and the operator's user is 65532.
		mkdir -p "$folder"
		chown 65532:65532 "$folder"
		kubectl apply --filename - >/dev/null <<-VOLUME
			apiVersion: v1
			kind: PersistentVolume
			metadata: {name: longshore-archive}
			spec:
			  capacity: {storage: 2Gi}
			  accessModes: [ReadWriteOnce]
			  storageClassName: $class
			  hostPath: {path: $folder, type: Directory}
		VOLUME
	fi
	printf '%s\n' --set "archive.volume.size=2Gi,archive.volume.storageClass=$class,archive.retention.maxBytes=1Gi"
}

begin_step "Looking at what this machine has"
check_prerequisites
say "Rust $(rust_version), Go $(go_toolchain_version) and the packages are there"

if [ "${LONGSHORE_CLUSTER:-}" = current ]; then
	begin_step "Using your cluster"
else
	begin_step "Starting the cluster (the first time about 15 minutes on two cores, then seconds)"
fi
"$cluster_dir/up.sh"
environment=$("$cluster_dir/env.sh")
eval "$environment"

begin_step "Building Longshore and installing it by helm (the first time about 5 minutes, then seconds)"
images/build.sh
flags=$(archive_flags)
mapfile -t flags <<<"$flags"
if [ -z "${flags[0]}" ]; then
	flags=()
	say "the cluster has no default storage class, so logs go with their pods"
fi
"$cluster_dir/deploy.sh" --hide-notes "${flags[@]}" # our notes are at the end

begin_step "Applying the examples"
for example in "${examples[@]}"; do
	read -r namespace name _ <<<"$example"
	apply_example "$namespace" "$name"
done

begin_step "Waiting until each has finished"
for example in "${examples[@]}"; do
	read -r namespace name phase <<<"$example"
	wait_for "$namespace" "$name" "$phase"
done

begin_step "What came out"
show kubectl get deploymentactions --all-namespaces

printf '\n$ kubectl get deploymentaction deploy-workload --namespace shop --output yaml   # from "status:" on\n'
kubectl get deploymentaction deploy-workload --namespace shop --output yaml | sed -n '/^status:/,$p'

show_log default python
show_log_by_right default python
if [ "${#flags[@]}" -gt 0 ]; then
	printf '\nThe log outlives its pod:\n'
	show kubectl delete pod "$(field default hello .status.run.podName)" --namespace default --ignore-not-found
	show_log_by_right default hello
fi

printf '\nAnd what an action that failed says of itself:\n'
show kubectl get deploymentaction failing --namespace default \
	--output 'jsonpath={.status.conditions[?(@.type=="Stalled")].message}{"\n"}'

printf '\n[%s] Done. How to go on:\n' "$(elapsed)"
# shellcheck disable=SC2016  # for the person who reads it
[ "${LONGSHORE_CLUSTER:-}" = current ] || printf '  %-68s %s\n' 'eval "$(make -s cluster-env)"' "# kubectl and helm for this shell"
while IFS='|' read -r command comment; do
	printf '  %-68s %s\n' "$command" "$comment"
done <<'GO_ON'
kubectl get da -A -o wide|# with exit codes, pinned images, messages
kubectl describe da failing|# why it failed, and the end of its log
kubectl patch da hello --type=merge -p '{"spec":{"runToken":"2"}}'|# a new text in runToken: it runs again
kubectl get da -A --watch|# see it happen
kubectl explain deploymentaction.spec|# what can be written; also docs/reference/fields.md
GO_ON
if [ "${LONGSHORE_CLUSTER:-}" = current ]; then
	say "  Remove it: kubectl delete -f examples, helm uninstall longshore -n longshore-system (see charts/longshore/README.md)"
else
	printf '  %-68s %s\n' 'make cluster-down' "# the cluster, and all it left, is gone"
fi
say "  A first action written by hand: README.md"
