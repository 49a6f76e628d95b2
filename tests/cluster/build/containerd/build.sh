#!/usr/bin/env bash
set -euo pipefail
out=$1

# The node reports this version, and by it Longshore decides whether image volumes can be had.
version=$(sed -n 's/.*github\.com\/containerd\/containerd\/v2 v\([0-9.]*\).*/\1/p' go.mod | head -n 1)
module=github.com/containerd/containerd/v2
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X $module/version.Version=$version" -o "$out/" \
	$module/cmd/containerd $module/cmd/containerd-shim-runc-v2 $module/cmd/ctr
