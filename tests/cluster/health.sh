# shellcheck shell=bash  # sourced
# Whether the cluster is up, asked from outside as its users do.

kubectl() { "$clients/kubectl" --kubeconfig "$state/kubeconfig" --cache-dir "$state/run/kubectl" --request-timeout=5s "$@"; }

outside_address() { cat "$state/run/$1.address"; }

api_is_ready() { kubectl get --raw /readyz; }

node_is_ready() {
	[ "$(kubectl get node "$node_name" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]
}

default_service_account_exists() { kubectl get serviceaccount default --namespace default; }

# Through the sandbox's resolv.conf and CoreDNS, as containerd and pods resolve.
dns_answers() {
	local pid
	pid=$(process_pid sandbox) || return 1
	nsenter --target "$pid" --net --mount getent ahostsv4 kubernetes.default.svc.cluster.local
	nsenter --target "$pid" --net --mount getent ahostsv4 "$token_registry_host"
}

registry_answers() { curl -fsS --max-time 5 "http://$(outside_address registry)/v2/"; }

# with_ca ARGUMENT...
with_ca() { curl -fsS --max-time 5 --cacert "$state/certificates/registry-ca.crt" "$@"; }

tls_registry_answers() { with_ca "https://$(outside_address registry-tls)/v2/"; }

basic_registry_answers() { with_ca --user "$pull_user:$pull_password" "https://$(outside_address registry-basic)/v2/"; }

# That it lets in whom the token server sends.
token_registry_answers() {
	local address token
	address=$(outside_address registry-token)
	token=$(with_ca --user "$pull_user:$pull_password" "https://$address/auth/token?service=longshore-test-registry" |
		sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
	with_ca --header "Authorization: Bearer $token" "https://$address/v2/"
}

ways_in=(api registry registry-tls registry-basic registry-token)

processes_are_alive() {
	local name
	for name in unshare sandbox "${ways_in[@]/#/outside-}"; do
		process_pid "$name" || return 1
	done
}

cluster_is_healthy() {
	local check
	for check in processes_are_alive api_is_ready node_is_ready default_service_account_exists \
		dns_answers registry_answers tls_registry_answers basic_registry_answers token_registry_answers; do
		"$check" >/dev/null 2>&1 || return 1
	done
}

# A component that ended is started again by the sandbox; that takes the API server some seconds.
cluster_recovers() {
	local deadline=$((SECONDS + 15))
	processes_are_alive >/dev/null || return 1
	say "the cluster is not healthy; giving it 15 s to recover"
	while [ "$SECONDS" -lt "$deadline" ]; do
		sleep 0.5
		if cluster_is_healthy; then return 0; fi
	done
	return 1
}
