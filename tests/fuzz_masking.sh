#!/usr/bin/env bash
# The long form of runner::masking_fuzz: that many cases, those of that seed, with optimisation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh
export LONGSHORE_FUZZ_COUNT=${1:-1000000} LONGSHORE_FUZZ_SEED=${2:-1}
# Like the images' binaries, whose dependencies are built already. PROFILE=dev is built sooner.
test_build=(--profile "${PROFILE:-release}")
tests_of process runner::masking_fuzz:: -- --nocapture
