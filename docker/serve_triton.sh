#!/bin/sh
# Becomes Triton with the arguments given. What a killed one left in shared memory is removed first:
# /dev/shm outlives a container in its pod, and what is left there counts as memory of the next.
set -eu
rm -rf "${SHARED_MEMORY:-/dev/shm}"/triton-embeddings-*
exec tritonserver "$@"
