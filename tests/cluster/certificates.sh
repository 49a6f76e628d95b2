# shellcheck shell=bash  # sourced
# The cluster's certificates: one authority for Kubernetes, one for aggregated API servers, one
# of its own for the registries with TLS, because "a private CA that nobody knows" is what they are
# for, and one by which a registry knows the tokens of its token server.

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# authority NAME
authority() {
	new_key "$1.key"
	openssl req -x509 -new -sha256 -days 3650 -key "$1.key" -subj "/CN=longshore-$1" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out "$1.crt"
}

# issue AUTHORITY NAME SUBJECT [SUBJECT-ALTERNATIVE-NAMES]
issue() {
	local authority=$1 name=$2 subject=$3 names=${4:-} usage=clientAuth
	if [ -n "$names" ]; then usage=serverAuth; fi
	new_key "$name.key"
	openssl req -new -sha256 -key "$name.key" -subj "$subject" |
		openssl x509 -req -sha256 -days 3650 -CA "$authority.crt" -CAkey "$authority.key" \
			-set_serial "0x$(openssl rand -hex 16)" -out "$name.crt" -extfile <(
				printf 'basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n' "$usage"
				if [ -n "$names" ]; then printf 'subjectAltName=%s\n' "$names"; fi
			)
}

issue_certificates() (
	umask 077
	mkdir -p "$state/certificates"
	cd "$state/certificates" || exit
	local kubernetes=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
	local loopback=DNS:localhost,IP:127.0.0.1

	authority ca
	issue ca apiserver /CN=kube-apiserver "$kubernetes,$loopback,IP:$node_address,IP:$api_service_address"
	issue ca apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
	issue ca kubelet-server "/O=system:nodes/CN=system:node:$node_name" "DNS:$node_name,IP:$node_address"
	issue ca admin /O=system:masters/CN=admin
	issue ca kubelet "/O=system:nodes/CN=system:node:$node_name"
	issue ca kube-controller-manager /CN=system:kube-controller-manager
	issue ca kube-scheduler /CN=system:kube-scheduler
	issue ca kube-proxy /CN=system:kube-proxy
	issue ca coredns /CN=system:coredns

	authority front-proxy-ca
	issue front-proxy-ca front-proxy-client /CN=front-proxy-client

	authority registry-ca
	issue registry-ca registry "/CN=$tls_registry_host" \
		"DNS:$tls_registry_host,DNS:$basic_registry_host,DNS:$token_registry_host,$loopback,IP:$node_address"

	authority registry-token-ca
	issue registry-token-ca registry-token /CN=token-server

	# Signs service account tokens; RSA or ECDSA, and not a certificate's key.
	new_key service-account.key
	openssl ec -in service-account.key -pubout -out service-account.pub
)
