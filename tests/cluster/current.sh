#!/usr/bin/env bash
# LONGSHORE_CLUSTER=current: a cluster that somebody else runs, the one KUBECONFIG names. Nothing
# is started, ended or built for it; helm, kubectl and the registry are its user's.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

current_context() {
	command -v kubectl >/dev/null || fail "LONGSHORE_CLUSTER=current needs kubectl in PATH"
	kubectl config current-context 2>/dev/null || fail "LONGSHORE_CLUSTER=current: KUBECONFIG names no current context"
}

case ${1:-} in
up)
	context=$(current_context)
	say "using the cluster of the current context: $context"
	;;
down)
	say "LONGSHORE_CLUSTER=current: the cluster is not ours to end; nothing done"
	;;
env)
	context=$(current_context)
	for name in LONGSHORE_REGISTRY LONGSHORE_PUSH_REGISTRY; do
		[ -n "${!name:-}" ] ||
			fail "LONGSHORE_CLUSTER=current (context $context) needs $name: LONGSHORE_REGISTRY is the registry as the cluster's nodes name it, LONGSHORE_PUSH_REGISTRY as this machine does"
	done
	for name in KUBECONFIG LONGSHORE_REGISTRY LONGSHORE_PUSH_REGISTRY LONGSHORE_TLS_REGISTRY LONGSHORE_PUSH_TLS_REGISTRY LONGSHORE_TLS_CA \
		LONGSHORE_BASIC_REGISTRY LONGSHORE_PUSH_BASIC_REGISTRY LONGSHORE_TOKEN_REGISTRY LONGSHORE_PUSH_TOKEN_REGISTRY \
		LONGSHORE_REGISTRY_USER LONGSHORE_REGISTRY_PASSWORD LONGSHORE_REGISTRY_PUSH_USER LONGSHORE_REGISTRY_PUSH_PASSWORD; do
		if [ -n "${!name:-}" ]; then printf 'export %s=%q\n' "$name" "${!name}"; fi
	done
	# Gives this cluster to the tests (tests/cargo_runner.sh).
	printf 'export LONGSHORE_CLUSTER_TESTS=%q\n' "${KUBECONFIG:-}"
	;;
*) fail "usage: current.sh up|down|env" ;;
esac
