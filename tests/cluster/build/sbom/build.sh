#!/usr/bin/env bash
# debsbom, which lists what a Debian system consists of, and the schema checks of CycloneDX's own
# library: PyPI packages in a directory of their own, never in this machine's Python.
set -euo pipefail
out=$1

python3 -m pip --version >/dev/null 2>&1 || { echo "pip is missing (Debian package python3-pip)" >&2; exit 1; }
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "debsbom needs Python 3.11 or later; here is $(python3 --version)" >&2; exit 1; }
python3 -m pip install --quiet --no-deps --only-binary :all: --require-hashes --target "$out" -r requirements.txt
PYTHONPATH=$out python3 -m debsbom.cli --version
PYTHONPATH=$out python3 -c 'import cyclonedx.validation.json, jsonschema'
