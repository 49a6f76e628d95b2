#!/usr/bin/env bash
# What checks the chart's monitoring: promtool, out of Debian's package of Prometheus, and the
# definitions of ServiceMonitor, PodMonitor and PrometheusRule, out of the Go module of their operator.
set -euo pipefail
out=$1
module=github.com/prometheus-operator/prometheus-operator@v0.85.0
# As the checksum database of Go modules has it, which is not everywhere in reach.
sum=h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# Unpacked and not installed: it would bring a service and a user.
apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xf - ./usr/bin/promtool
install -m 755 usr/bin/promtool "$out/promtool"
"$out/promtool" --version

go mod download -json "$module" >module.json
read -r directory found < <(python3 -c 'import json; m = json.load(open("module.json")); print(m["Dir"], m["Sum"])')
[ "$found" = "$sum" ] || { echo "the module $module has the checksum $found instead of $sum" >&2; exit 1; }
for kind in servicemonitors podmonitors prometheusrules; do
	install -m 644 "$directory/example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml" "$out/"
done
