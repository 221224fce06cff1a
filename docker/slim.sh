#!/bin/sh
# Takes from a virtual environment what nothing that is served reads: symbols for debuggers, which
# three packages ship, and numpy's tests. The rest is not stripped: some of it breaks.
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)
find "$packages/ml_dtypes" "$packages/uvloop" "$packages"/rapidjson* -name '*.so' \
  -exec strip --strip-unneeded {} + 2>/dev/null || true
find "$packages/numpy" -type d -name tests -prune -exec rm -r {} +
