#!/usr/bin/env bash
# The base of the examples image, and Mozilla's roots for the operator's: both from Debian's own
# packages and never from this machine, whose certificates may hold a company's.
set -euo pipefail
out=$1

command -v mmdebstrap >/dev/null || { echo "mmdebstrap is missing (Debian package mmdebstrap)" >&2; exit 1; }
mmdebstrap --variant=minbase --include=ca-certificates \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	bookworm "$out/base.tar"
tar -xOf "$out/base.tar" ./etc/ssl/certs/ca-certificates.crt >"$out/ca-certificates.crt"
