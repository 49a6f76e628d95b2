#!/usr/bin/env bash
# The long form of the suite's step "a hostile neighbourhood": more ways of each attack, and heavier floods.
# `hostile.sh FILTER` tries those tests alone whose names hold it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/cluster/settings.sh
[ "${LONGSHORE_CLUSTER:-}" != current ] || fail "the fake nodes run in the cluster of make cluster-up alone"

environment=$(tests/cluster/env.sh)
eval "$environment"
export LONGSHORE_HOSTILE_LONG=1
tests_of on_cluster_alone "hostile::.*${1:-}" -- --nocapture --test-threads 8
