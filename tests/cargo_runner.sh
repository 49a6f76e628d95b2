#!/bin/sh
# cargo starts every program of this repository through this (.cargo/config.toml): `cargo_runner.sh PROGRAM
# ARGUMENT...`. Those that change a cluster are started only where LONGSHORE_CLUSTER_TESTS is the KUBECONFIG that
# they would use, so that `cargo test` with somebody's own KUBECONFIG touches nothing.
program=${1##*/}
case ${program%-*} in
on_cluster | on_cluster_alone) how='make test' ;;
logs) how='make bench-logs' ;;
performance) how='make bench' ;;
scale) how='make bench-scale' ;;
*) exec "$@" ;;
esac
if [ -n "${KUBECONFIG:-}" ] && [ "${LONGSHORE_CLUSTER_TESTS:-}" = "$KUBECONFIG" ]; then exec "$@"; fi
if [ -z "${LONGSHORE_CLUSTER_TESTS:-}" ]; then
	why='LONGSHORE_CLUSTER_TESTS is not set'
else
	why="LONGSHORE_CLUSTER_TESTS is $LONGSHORE_CLUSTER_TESTS, and KUBECONFIG is ${KUBECONFIG:-not set}"
fi
# shellcheck disable=SC2016  # for the reader's shell
printf 'not run: %s, which changes a cluster: %s. Run %s, or first eval "$(make -s cluster-env)"\n' "${program%-*}" "$why" "$how"
