#!/usr/bin/env bash
# One binary, called by six names. CGO off: static, so that it starts wherever the state directory is.
set -euo pipefail
out=$1

version=$(sed -n 's/^\tk8s\.io\/kubernetes \(v[0-9.]*\).*/\1/p' go.mod | head -n 1)
IFS=. read -r major minor _ <<<"${version#v}"

# Without these, kubectl cannot parse its server's version and the node reports v0.0.0.
component=k8s.io/component-base/version
CGO_ENABLED=0 go build -trimpath -buildvcs=false \
	-ldflags "-s -w -X $component.gitVersion=$version -X $component.gitMajor=$major -X $component.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=$version" \
	-o "$out/kubernetes" .

for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
	ln -s kubernetes "$out/$name"
done
