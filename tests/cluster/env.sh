#!/usr/bin/env bash
# Prints what a shell needs to use the cluster, as export lines and nothing else.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
. "$cluster_dir/process.sh"

if [ "${LONGSHORE_CLUSTER:-}" = current ]; then
	exec "$cluster_dir/current.sh" env
fi
if ! [ -f "$state/run/definition" ] || ! process_pid sandbox >/dev/null; then
	fail "the cluster is not up: make cluster-up"
fi
[ -r "$state/kubeconfig" ] || fail "the cluster is up, but $state/kubeconfig is not yours to read: it was started by root"

export_line() { printf 'export %s=%q\n' "$1" "$2"; }
export_line KUBECONFIG "$state/kubeconfig"
# Gives this cluster to the tests (tests/cargo_runner.sh).
export_line LONGSHORE_CLUSTER_TESTS "$state/kubeconfig"
export_line LONGSHORE_REGISTRY "$registry"
export_line LONGSHORE_PUSH_REGISTRY "$(cat "$state/run/registry.address")"
export_line LONGSHORE_TLS_REGISTRY "$tls_registry"
export_line LONGSHORE_PUSH_TLS_REGISTRY "$(cat "$state/run/registry-tls.address")"
export_line LONGSHORE_BASIC_REGISTRY "$basic_registry"
export_line LONGSHORE_PUSH_BASIC_REGISTRY "$(cat "$state/run/registry-basic.address")"
export_line LONGSHORE_TOKEN_REGISTRY "$token_registry"
export_line LONGSHORE_PUSH_TOKEN_REGISTRY "$(cat "$state/run/registry-token.address")"
export_line LONGSHORE_REGISTRY_USER "$pull_user"
export_line LONGSHORE_REGISTRY_PASSWORD "$pull_password"
export_line LONGSHORE_REGISTRY_PUSH_USER "$push_user"
export_line LONGSHORE_REGISTRY_PUSH_PASSWORD "$push_password"
export_line LONGSHORE_AUDIT_LOG "$state/logs/audit.log"
export_line LONGSHORE_TLS_CA "$state/certificates/registry-ca.crt"
# shellcheck disable=SC2016  # for the shell that reads it
printf 'export PATH=%q:"$PATH"\n' "$("$cluster_dir/build/build.sh" --path clients)"
