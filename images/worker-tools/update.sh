#!/usr/bin/env bash
# Locks what the Debian mirror has today, and writes what follows from it into the documentation and
# the examples: the table of tools and the dated tag. To be committed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../tests/cluster/settings.sh"
repository_dir=$(cd "$here/../.." && pwd)

before=$(sed -n 's/^date //p' "$here/packages.lock")
"$here/rootfs.sh" --update
after=$(sed -n 's/^date //p' "$here/packages.lock")

"$cluster_dir/build/build.sh" clients yq sbom
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$here/context.sh" "$work/context"
"$here/describe.py" table "$work/context/share/tools.json" >"$work/table"
page=$repository_dir/docs/guides/worker-tools.md
awk -v table="$work/table" '
	/^<!-- tools -->$/ { print; inside = !inside; if (inside) { print ""; while ((getline line < table) > 0) print line; print "" }; next }
	!inside' "$page" >"$work/page"
cat "$work/page" >"$page"
sed -i "s|\(worker-tools:\)$before|\1$after|g" "$page" "$repository_dir"/examples/{*,release/template}.yaml
say "next: make worker-tools, then look at the size in docs/guides/worker-tools.md; make test compares it"
