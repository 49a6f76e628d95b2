# shellcheck shell=bash  # sourced
# Fills the templates of config/ in: @NAME@ becomes the value that settings.sh has for it.

render_file() {
	sed -e "s|@STATE@|$state|g" -e "s|@NODE_ADDRESS@|$node_address|g" -e "s|@NODE_NAME@|$node_name|g" \
		-e "s|@POD_CIDR@|$pod_cidr|g" -e "s|@REGISTRY@|$registry|g" -e "s|@TLS_REGISTRY@|$tls_registry|g" \
		-e "s|@TLS_REGISTRY_HOST@|$tls_registry_host|g" -e "s|@CGROUP@|$cgroup|g" \
		-e "s|@BASIC_REGISTRY_HOST@|$basic_registry_host|g" -e "s|@TOKEN_REGISTRY_HOST@|$token_registry_host|g" \
		-e "s|@PULL_USER@|$pull_user|g" -e "s|@PULL_PASSWORD@|$pull_password|g" \
		-e "s|@PUSH_USER@|$push_user|g" -e "s|@PUSH_PASSWORD@|$push_password|g" "$1" >"$2"
}

render_config() {
	local file with_tls
	mkdir -p "$state/config/cni" "$state/config/certs.d/$registry"
	for file in "$cluster_dir"/config/*; do
		if [ -f "$file" ]; then render_file "$file" "$state/config/${file##*/}"; fi
	done
	render_file "$cluster_dir/config/cni/10-longshore.conflist" "$state/config/cni/10-longshore.conflist"
	render_file "$cluster_dir/config/certs.d/plain/hosts.toml" "$state/config/certs.d/$registry/hosts.toml"
	# Nodes trust the private CA and have nobody's password.
	for with_tls in "$tls_registry" "$basic_registry" "$token_registry"; do
		mkdir -p "$state/config/certs.d/$with_tls"
		tls_registry=$with_tls render_file "$cluster_dir/config/certs.d/tls/hosts.toml" "$state/config/certs.d/$with_tls/hosts.toml"
	done
}

# write_kubeconfig FILE SERVER USER: with USER's certificate inside, so that one file is enough.
write_kubeconfig() {
	local file=$1 server=$2 user=$3 ca certificate key
	ca=$(base64 -w0 "$state/certificates/ca.crt")
	certificate=$(base64 -w0 "$state/certificates/$user.crt")
	key=$(base64 -w0 "$state/certificates/$user.key")
	(
		umask 077
		cat >"$file" <<-YAML
			apiVersion: v1
			kind: Config
			clusters:
			  - {name: longshore, cluster: {server: "$server", certificate-authority-data: $ca}}
			users:
			  - {name: $user, user: {client-certificate-data: $certificate, client-key-data: $key}}
			contexts:
			  - {name: longshore, context: {cluster: longshore, user: $user}}
			current-context: longshore
		YAML
	)
}
