"""What the wheel `nvidia-pytriton` brings: a whole `tritonserver` with the Python backend.

Three of its needs shape this module: a backend folder that also holds the stub of the running
Python, a `PATH` on which `python3` is this interpreter, and a `libpython` the stub can load.
"""

import importlib.util
import platform
import subprocess
from pathlib import Path

from gateway.local.triton_environment import LIBPYTHON, PYTHON, environment


class CannotServe(Exception):
    """Why nothing can be served here, in one sentence for the person at the terminal."""


def find_triton() -> Path:
    """Folder of the server inside the wheel; holds `bin`, `backends`, `python_backend_stubs`.

    Raises: CannotServe if the wheel is not installed or its Python backend cannot start here.
    """
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise CannotServe(
            "Triton is not installed here: `pip install '.[local]'` in the repository brings it on"
            " Linux x86-64 with glibc 2.35 or later and Python 3.11 or 3.12"
            f" (this is Python {PYTHON} on {platform.system()} {platform.machine()});"
            " elsewhere run Triton in its container and start `python -m gateway`."
        )
    triton = Path(spec.origin).parent / "tritonserver"
    if not _stub(triton).exists():
        raise CannotServe(f"This Triton has no Python {PYTHON} backend: use Python 3.11 or 3.12.")
    _check_stub(triton)
    return triton


def link_backends(triton: Path, folder: Path) -> None:
    """Fill a folder for `--backend-directory`: the Python backend with the stub of this Python.

    Symlinks, so that the libraries find their siblings in the wheel.
    """
    (folder / "python").mkdir()
    for file in [*(triton / "backends/python").glob("*.*"), _stub(triton)]:
        (folder / "python" / file.name).symlink_to(file)


def _stub(triton: Path) -> Path:
    return triton / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"


def _check_stub(triton: Path) -> None:
    """Start the stub for its usage line: the loader names any library that is missing.

    Raises: CannotServe with that name.
    """
    stub = subprocess.run(  # noqa: S603 - from the installed wheel
        [_stub(triton)], env=environment(), capture_output=True, text=True, check=False
    )
    if LIBPYTHON in stub.stderr:
        raise CannotServe(
            f"Triton needs {LIBPYTHON}, which this Python has not: install it (Debian, Ubuntu:"
            f" `apt install libpython{PYTHON}`) or use a Python built with --enable-shared."
        )
    if "error while loading" in stub.stderr or "not found" in stub.stderr:
        raise CannotServe(f"Triton's Python backend cannot start: {stub.stderr.strip()}")
