#!/usr/bin/env bash
# moto, a server that speaks S3: PyPI packages in a directory of their own, never in this machine's Python.
# requirements.in lists what S3 needs. All of moto would be three times as large. After a change: pip-compile --generate-hashes --strip-extras --no-header --no-annotate
set -euo pipefail
out=$1

python3 -m pip --version >/dev/null 2>&1 || { echo "pip is missing (Debian package python3-pip)" >&2; exit 1; }
python3 -m pip install --quiet --no-deps --only-binary :all: --require-hashes --target "$out" -r requirements.txt
# botocore describes all interfaces. S3's is enough.
find "$out/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name 's3*' ! -name sts -exec rm -r {} +
PYTHONPATH=$out python3 -c 'import moto.server, moto.s3.responses'
