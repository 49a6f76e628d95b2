# shellcheck shell=bash  # sourced by sandbox.sh
# How each process of the cluster is started. The variables with parts' names say where they are.
# shellcheck disable=SC2154

run_etcd() { exec "$etcd/etcd" --config-file "$state/config/etcd.yaml"; }

run_containerd() { PATH=$runc:$containerd:$PATH exec "$containerd/containerd" --config "$state/config/containerd.toml"; }

run_registry() { exec docker-registry serve "$state/config/registry.yaml"; }

run_registry-tls() { exec docker-registry serve "$state/config/registry-tls.yaml"; }

run_registry-basic() { exec docker-registry serve "$state/config/registry-basic.yaml"; }

run_registry-token() { exec docker-registry serve "$state/config/registry-token.yaml"; }

run_token-server() {
	local c=$state/certificates
	# issuer and service as in config/registry-token.yaml
	exec "$token_server/token-server" \
		-listen="$node_address:5445" -upstream=127.0.0.1:5455 \
		-tls-certificate="$c/registry.crt" -tls-key="$c/registry.key" \
		-token-certificate="$c/registry-token.crt" -token-key="$c/registry-token.key" \
		-accounts="$state/config/registry-accounts" \
		-issuer=longshore-token-server -service=longshore-test-registry
}

run_kube-apiserver() {
	local c=$state/certificates
	# Half of its time under load was collecting garbage; memory is there.
	GOGC=400 GOMEMLIMIT=6GiB exec "$kubernetes/kube-apiserver" \
		--advertise-address="$node_address" --secure-port=6443 \
		--etcd-servers=http://127.0.0.1:2379 \
		--service-cluster-ip-range="$service_cidr" \
		--allow-privileged=true \
		--authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
		--client-ca-file="$c/ca.crt" --tls-cert-file="$c/apiserver.crt" --tls-private-key-file="$c/apiserver.key" \
		--kubelet-certificate-authority="$c/ca.crt" --kubelet-preferred-address-types=InternalIP \
		--kubelet-client-certificate="$c/apiserver-kubelet-client.crt" --kubelet-client-key="$c/apiserver-kubelet-client.key" \
		--service-account-issuer=https://kubernetes.default.svc.cluster.local \
		--service-account-key-file="$c/service-account.pub" --service-account-signing-key-file="$c/service-account.key" \
		--requestheader-client-ca-file="$c/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
		--requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
		--requestheader-extra-headers-prefix=X-Remote-Extra- \
		--proxy-client-cert-file="$c/front-proxy-client.crt" --proxy-client-key-file="$c/front-proxy-client.key" \
		--audit-policy-file="$state/config/audit-policy.yaml" --audit-log-path="$state/logs/audit.log" \
		--audit-log-maxsize=200 --audit-log-maxbackup=2
}

run_kube-controller-manager() {
	local c=$state/certificates
	exec "$kubernetes/kube-controller-manager" \
		--kubeconfig="$state/config/kube-controller-manager.kubeconfig" --leader-elect=false \
		--root-ca-file="$c/ca.crt" --service-account-private-key-file="$c/service-account.key" \
		--cluster-signing-cert-file="$c/ca.crt" --cluster-signing-key-file="$c/ca.key" \
		--use-service-account-credentials=true \
		--kube-api-qps=200 --kube-api-burst=400 \
		--flex-volume-plugin-dir="$state/kubelet/volume-plugins" # it creates the one it is told
}

run_kube-scheduler() {
	exec "$kubernetes/kube-scheduler" --kubeconfig="$state/config/kube-scheduler.kubeconfig" --leader-elect=false
}

run_kube-proxy() { exec "$kubernetes/kube-proxy" --config="$state/config/kube-proxy.yaml"; }

run_kubelet() {
	exec "$kubernetes/kubelet" --config="$state/config/kubelet.yaml" \
		--kubeconfig="$state/config/kubelet.kubeconfig" \
		--root-dir="$state/kubelet" --cert-dir="$state/kubelet/pki" \
		--node-ip="$node_address" --hostname-override="$node_name"
}

run_coredns() { exec "$coredns/coredns" -conf "$state/config/Corefile"; }

# The ways in from outside of the network namespace: sockets in the file system, which both sides share.
# way_in NAME PORT
way_in() { exec socat "UNIX-LISTEN:$state/sockets/$1,fork,unlink-early,backlog=512" "TCP:$node_address:$2,nodelay"; }

run_way-in-api() { way_in api 6443; }

run_way-in-registry() { way_in registry 5000; }

run_way-in-registry-tls() { way_in registry-tls 5443; }

run_way-in-registry-basic() { way_in registry-basic 5444; }

run_way-in-registry-token() { way_in registry-token 5445; }
