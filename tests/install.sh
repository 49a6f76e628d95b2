#!/usr/bin/env bash
# Installs Longshore as this work tree has it, with the binaries that the tests start. LONGSHORE_TEST_RELEASE=1
# installs those that are shipped, which take as long to build as all tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh

if [ -z "${LONGSHORE_TEST_RELEASE:-}" ] && [ "${LONGSHORE_CLUSTER:-}" != current ]; then
	LONGSHORE_BINARIES=$(tested_binaries)
	export LONGSHORE_BINARIES
fi
make --no-print-directory deploy
