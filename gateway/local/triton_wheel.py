"""What the wheel `nvidia-pytriton` brings: a whole `tritonserver` with the Python backend.

Three of its needs shape this module: a backend folder that also holds the stub of the running
Python, a `PATH` on which `python3` is this interpreter, and a `libpython` the stub can load.
"""

import importlib.util
import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_LIBPYTHON = f"libpython{_PYTHON}.so.1.0"


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
            f" (this is Python {_PYTHON} on {platform.system()} {platform.machine()});"
            " elsewhere run Triton in its container and start `python -m gateway`."
        )
    triton = Path(spec.origin).parent / "tritonserver"
    if not _stub(triton).exists():
        raise CannotServe(f"This Triton has no Python {_PYTHON} backend: use Python 3.11 or 3.12.")
    _check_stub(triton)
    return triton


def link_backends(triton: Path, folder: Path) -> None:
    """Fill a folder for `--backend-directory`: the Python backend with the stub of this Python.

    Symlinks, so that the libraries find their siblings in the wheel.
    """
    (folder / "python").mkdir()
    for file in [*(triton / "backends/python").glob("*.*"), _stub(triton)]:
        (folder / "python" / file.name).symlink_to(file)


def environment() -> dict[str, str]:
    """Environment of Triton and its steps: this interpreter first, one tokenizer thread a step."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")
    }
    # Outside of the loader's own search path when Python was built or unpacked by hand.
    folders = [Path(sysconfig.get_config_var("LIBDIR") or ""), Path(sys.base_prefix) / "lib"]
    libpython = next((folder for folder in folders if (folder / _LIBPYTHON).exists()), None)
    return inherited | {
        "PATH": _join(Path(sys.executable).parent, inherited.get("PATH")),
        "LD_LIBRARY_PATH": _join(libpython, inherited.get("LD_LIBRARY_PATH")),
        "TOKENIZERS_PARALLELISM": "false",
        "RAYON_NUM_THREADS": "1",
    }


def _join(*folders: Path | str | None) -> str:
    return os.pathsep.join(str(folder) for folder in folders if folder)


def _stub(triton: Path) -> Path:
    return triton / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"


def _check_stub(triton: Path) -> None:
    """Start the stub for its usage line: the loader names any library that is missing.

    Raises: CannotServe with that name.
    """
    stub = subprocess.run(  # noqa: S603 - from the installed wheel
        [_stub(triton)], env=environment(), capture_output=True, text=True, check=False
    )
    if _LIBPYTHON in stub.stderr:
        raise CannotServe(
            f"Triton needs {_LIBPYTHON}, which this Python has not: install it (Debian, Ubuntu:"
            f" `apt install libpython{_PYTHON}`) or use a Python built with --enable-shared."
        )
    if "error while loading" in stub.stderr or "not found" in stub.stderr:
        raise CannotServe(f"Triton's Python backend cannot start: {stub.stderr.strip()}")
