#!/usr/bin/env bash
set -euo pipefail
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$1/yq" github.com/mikefarah/yq/v4
