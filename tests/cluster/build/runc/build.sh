#!/usr/bin/env bash
# Debian's runc (1.1.5 on bookworm) is too old for user namespaces (hostUsers: false): it has no
# idmapped mounts. With seccomp, as the RuntimeDefault profile would otherwise do nothing; and
# linked statically, as runc's own releases are, so that the cached part needs no package to run.
set -euo pipefail
out=$1

CGO_ENABLED=1 go build -trimpath -buildvcs=false -tags "seccomp netgo osusergo" \
	-ldflags "-s -w -extldflags -static" -o "$out/" github.com/opencontainers/runc

# Without seccomp it would build as well, and every pod would fail later.
"$out/runc" features | grep -q '"SCMP_ACT_ERRNO"'
