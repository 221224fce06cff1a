"""Runs programs on the fake CUDA, in the environment that has onnxruntime-gpu."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fake_cuda.report import TOLD, Report

ROOT = Path(__file__).parents[2]
# Made by `make build/fake_cuda/built`.
ENVIRONMENT = ROOT / "build" / "fake_cuda"
LIBRARIES = ENVIRONMENT / "lib"
PATIENCE_SECONDS = 120.0  # two shared cores


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended: what it printed, and the reports among it."""

    status: int
    printed: str
    errors: str
    reports: list[Report]


def in_fake_cuda(*arguments: str | Path, without: Sequence[str] = (), **settings: str) -> Finished:
    """The environment's Python with arguments: "-c" and a program, "-m" and a module, or a file.

    The modules of export/steps can be imported by their bare names, as beside a model.py, and
    those of tests/ by their full ones.

    without   libraries that cannot be loaded, such as "libcublas.so.13"
    settings  environment variables, such as FAKE_CUDA_DEVICES; the README has them all
    """
    with _libraries(without) as libraries:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FAKE_CUDA_")}
        ours = {
            "LD_LIBRARY_PATH": str(libraries),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'export' / 'steps'}",
            "ORT_DISABLE_TELEMETRY": "1",
        }
        process = subprocess.run(
            [ENVIRONMENT / "venv" / "bin" / "python", *arguments],
            cwd=ROOT,
            env=inherited | ours | settings,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    lines = process.stdout.splitlines()
    told = [line.removeprefix(TOLD) for line in lines if line.startswith(TOLD)]
    printed = "\n".join(line for line in lines if not line.startswith(TOLD))
    reports = [Report.from_json(json.loads(line)) for line in told]
    return Finished(process.returncode, printed, process.stderr, reports)


@contextmanager
def _libraries(without: Sequence[str]) -> Iterator[Path]:
    """The folder of the libraries, or one with empty files in the place of some.

    Where a file were missing, the loader would go on to a real library of this machine.
    """
    if not without:
        yield LIBRARIES
        return
    with tempfile.TemporaryDirectory() as folder:
        for library in LIBRARIES.glob("lib*"):
            place = Path(folder, library.name)
            if library.name in without:
                place.touch()
            else:
                place.symlink_to(library)
        yield Path(folder)
