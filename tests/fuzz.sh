#!/usr/bin/env bash
# The long form of the suite's step "mutated resources": sends that many mutated resources, those
# of that seed, to the cluster that runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

. tests/cluster/settings.sh
environment=$(tests/cluster/env.sh)
eval "$environment"
export LONGSHORE_FUZZ_COUNT=${1:-10000} LONGSHORE_FUZZ_SEED=${2:-1}
tests_of on_cluster fuzz:: -- --nocapture
