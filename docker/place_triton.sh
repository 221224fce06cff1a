#!/bin/sh
# Makes of the wheel nvidia-pytriton in a virtual environment a Triton as its own images have it:
# the Python backend with the stub of this Python, and nothing for others.
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)
version=$(basename "$(dirname "$packages")" | sed s/python//)
triton=$packages/pytriton/tritonserver
find "$packages/pytriton" -mindepth 1 -maxdepth 1 ! -name tritonserver -exec rm -r {} +
find "$triton/python_backend_stubs" -mindepth 1 -maxdepth 1 ! -name "$version" -exec rm -r {} +
ln -s "../../python_backend_stubs/$version/triton_python_backend_stub" "$triton/backends/python"
# For a stub that is gone.
[ "$version" = 3.13 ] || rm "$packages"/nvidia_pytriton.libs/libpython3*
if "$triton/backends/python/triton_python_backend_stub" 2>&1 | grep 'error while loading'; then
  exit 1
fi
