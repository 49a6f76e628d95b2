#!/usr/bin/env bash
# Installs or upgrades Longshore from the chart of this work tree, with the images just pushed.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
repository_dir=$(cd "$cluster_dir/../.." && pwd)

environment=$("$cluster_dir/env.sh")
eval "$environment"
. "${CARGO_TARGET_DIR:-$repository_dir/target}/images/tags.env"

namespace=longshore-system
values=(
	--set "image.repository=$LONGSHORE_REGISTRY/longshore" --set-string "image.tag=$LONGSHORE_TAG"
	--set "runner.image.repository=$LONGSHORE_REGISTRY/longshore-runner" --set-string "runner.image.tag=$LONGSHORE_RUNNER_TAG"
)
# A cluster of one's own may have a registry with TLS; the one of tests/cluster has not.
if [ "${LONGSHORE_CLUSTER:-}" != current ] || [ -n "${LONGSHORE_REGISTRY_PLAIN_HTTP:-}" ]; then
	values+=(--set "registries.plainHttp={$LONGSHORE_REGISTRY}")
fi
# People read logs with a right on the action.
values+=(--set logApi.enabled=true)
# The registry with TLS has a certificate of a private authority.
if [ -n "${LONGSHORE_TLS_CA:-}" ]; then values+=(--set-file "registries.caBundle=$LONGSHORE_TLS_CA"); fi

say "installing longshore $LONGSHORE_TAG by helm ..."
if ! helm upgrade --install longshore "$repository_dir/charts/longshore" \
	--namespace "$namespace" --create-namespace "${values[@]}" --wait --timeout 3m "$@"; then
	{
		kubectl --namespace "$namespace" get pods --output wide || true
		kubectl --namespace "$namespace" get events --sort-by=.lastTimestamp | tail -n 15 || true
		kubectl --namespace "$namespace" logs --selector app.kubernetes.io/name=longshore --tail 30 --prefix || true
	} >&2
	fail "helm could not install longshore; above are the namespace's pods, events and logs"
fi
