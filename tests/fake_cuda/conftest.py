"""Makes the environment and the libraries of the fake CUDA before the first test needs them."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_cuda.graphs import save_feed_forward
from tests.fake_cuda.run import ROOT

TARGET = "build/fake_cuda/built"


@pytest.fixture(scope="session", autouse=True)
def fake_cuda() -> None:
    """Does nothing where they are up to date; of several workers one makes them."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / "fake_cuda.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", f"PYTHON={sys.executable}", TARGET],  # noqa: S607
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if made.returncode != 0:
        pytest.fail(
            f"`make {TARGET}` failed; it needs onnxruntime-gpu from PyPI, g++ and nm:\n"
            + made.stderr[-2000:],
            pytrace=False,
        )


@pytest.fixture(scope="session")
def feed_forward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of MatMul, Add, Gelu and LayerNormalization in float16."""
    return save_feed_forward(tmp_path_factory.mktemp("graph") / "feed_forward.onnx", layers=2)
