"""Runs programs on the fake CUDA, in the environment that has onnxruntime-gpu."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Made by `make build/fake_cuda/built`.
ENVIRONMENT = ROOT / "build" / "fake_cuda"
LIBRARIES = ENVIRONMENT / "lib"
PATIENCE_SECONDS = 120.0  # two shared cores


def in_fake_cuda(
    *arguments: str | Path, without: Sequence[str] = (), **settings: str
) -> subprocess.CompletedProcess[str]:
    """The environment's Python with arguments: "-c" and a program, or "-m" and a module.

    The modules of export/steps can be imported by their bare names, as beside a model.py, and
    those of tests/ by their full ones.

    without   libraries that are missing, such as "libcublas.so.13"
    settings  environment variables, such as FAKE_CUDA_DEVICES; the README has them all
    """
    with _libraries(without) as libraries:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FAKE_CUDA_")}
        ours = {
            "LD_LIBRARY_PATH": str(libraries),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'export' / 'steps'}",
            "ORT_DISABLE_TELEMETRY": "1",
        }
        return subprocess.run(
            [ENVIRONMENT / "venv" / "bin" / "python", *arguments],
            cwd=ROOT,
            env=inherited | ours | settings,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )


@contextmanager
def _libraries(without: Sequence[str]) -> Iterator[Path]:
    if not without:
        yield LIBRARIES
        return
    with tempfile.TemporaryDirectory() as folder:
        for library in LIBRARIES.glob("lib*"):
            if library.name not in without:
                Path(folder, library.name).symlink_to(library)
        yield Path(folder)
