"""What docker/place_triton.sh does when the image is built, and then the image's entry point."""

import os
import shutil
import sys
from pathlib import Path

from gateway.local.triton_environment import environment
from gateway.local.triton_wheel import find_triton, link_backends

BACKENDS = Path("/tmp/backends")  # noqa: S108 - of the container
SERVE = Path(__file__).parents[2] / "docker" / "serve_triton.sh"


def main() -> None:
    """Becomes Triton."""
    shutil.rmtree(BACKENDS, ignore_errors=True)  # of the container before this one in the pod
    BACKENDS.mkdir()
    triton = find_triton()
    link_backends(triton, BACKENDS)
    own = [f"--backend-directory={BACKENDS}", f"--cache-directory={triton / 'caches'}"]
    environ = environment()
    environ["PATH"] = f"{triton / 'bin'}:{environ['PATH']}"
    command = ["/bin/sh", str(SERVE), *own, *sys.argv[1:]]
    os.execve(command[0], command, environ)  # noqa: S606


if __name__ == "__main__":
    main()
