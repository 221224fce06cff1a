"""Ready means that a call would succeed: each case on a gateway beside a plain Triton.

`pytest -m triton tests/triton/test_readiness.py -s` prints seconds until unready, and until ready.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from export.checkpoint import DEFAULT_CHECKPOINT
from gateway.local.triton_process import TritonProcess
from tests.serving import API_KEY, PATIENCE_SECONDS, run_gateway
from tests.triton.conftest import TOY_CONFIG, TOY_MODEL

pytestmark = pytest.mark.triton

UNREADY_SECONDS = 10.0  # two shared cores; a silent model is given five by itself


@pytest.fixture
def triton(toy_repository: Path, tmp_path: Path) -> Iterator[TritonProcess]:
    """A Triton with the toy, which the test may harm."""
    with TritonProcess(toy_repository, tmp_path / "triton.log", "harmed") as triton:
        triton.start()
        yield triton


def readiness(client: httpx.Client) -> dict[str, str]:
    """Model → why it is not ready; empty with a 200."""
    response = client.get("/health/ready")
    if response.status_code == 200:
        return {}
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    models: dict[str, str] = response.json()["details"]["models"]
    assert all(f"{model} {why}" in response.json()["message"] for model, why in models.items())
    return models


def wait_until(holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> float:
    """Seconds until it holds."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() < started + seconds
        time.sleep(0.05)
    return time.monotonic() - started


def embed(client: httpx.Client, model: str = "toy") -> int:
    headers = {"Authorization": API_KEY}
    body = {"model": model, "input": "x"}
    return client.post("/v1/embeddings", json=body, headers=headers).status_code


def kill_step(triton: TritonProcess) -> None:
    (step,) = triton.step_pids
    os.kill(step, signal.SIGKILL)


@pytest.mark.parametrize("with_calls", [False, True], ids=["idle", "beside calls"])
def test_a_step_that_died(triton: TritonProcess, with_calls: bool) -> None:
    with run_gateway(triton.grpc_port) as client:
        assert readiness(client) == {}
        kill_step(triton)
        if with_calls:
            assert embed(client) == 503
            assert "toy" in readiness(client)  # the call has told
        unready = wait_until(lambda: "toy" in readiness(client), UNREADY_SECONDS)
        assert readiness(client)["toy"] == "fails: the inference server is not ready"
        triton.start()
        ready = wait_until(lambda: readiness(client) == {})
        assert embed(client) == 200
    print(f"\na dead step: unready after {unready:.1f} s, ready {ready:.1f} s after Triton")


def test_a_triton_that_hangs(triton: TritonProcess) -> None:
    assert triton.pid is not None
    with run_gateway(triton.grpc_port) as client:
        os.kill(triton.pid, signal.SIGSTOP)
        unready = wait_until(lambda: readiness(client) != {}, UNREADY_SECONDS)
        assert readiness(client) == {"toy": "does not answer"}
        os.kill(triton.pid, signal.SIGCONT)
        ready = wait_until(lambda: readiness(client) == {}, UNREADY_SECONDS)
    print(f"\na silent Triton: unready after {unready:.1f} s, ready {ready:.1f} s after it goes on")


def test_a_triton_that_died(triton: TritonProcess) -> None:
    with run_gateway(triton.grpc_port) as client:
        assert triton.pid is not None
        os.kill(triton.pid, signal.SIGKILL)
        unready = wait_until(lambda: readiness(client) != {}, UNREADY_SECONDS)
        triton.start()
        ready = wait_until(lambda: readiness(client) == {})
        assert embed(client) == 200
    print(f"\na dead Triton: unready after {unready:.1f} s, ready {ready:.1f} s after its start")


@contextmanager
def beside(folder: Path, name: str, config: str, model: str) -> Iterator[TritonProcess]:
    """A Triton with the toy and one more model, which loads or does not."""
    for each, its_config, its_model in (("toy", TOY_CONFIG, TOY_MODEL), (name, config, model)):
        (folder / each / "1").mkdir(parents=True)
        (folder / each / "config.pbtxt").write_text(its_config)
        (folder / each / "1/model.py").write_text(its_model)
    with LenientTriton(folder, folder.parent / "triton.log", "lenient") as triton:
        triton.start()
        yield triton


class LenientTriton(TritonProcess):
    """One that goes on when a model does not load."""

    def _command(self, backends: Path) -> list[str]:
        return [*super()._command(backends), "--exit-on-error=false", "--strict-readiness=false"]


BROKEN = "raise RuntimeError('broken')"


def test_a_model_of_somebody_else_that_does_not_load(tmp_path: Path) -> None:
    config = TOY_CONFIG.replace("served_name", "owner")
    with (
        beside(tmp_path / "models", "resnet", config, BROKEN) as triton,
        run_gateway(triton.grpc_port) as client,
    ):
        assert readiness(client) == {}
        assert embed(client) == 200


def test_a_model_of_ours_that_does_not_load(tmp_path: Path) -> None:
    name = f"{DEFAULT_CHECKPOINT.replace('/', '--')}@0123456789ab-encoder"
    ensemble = DEFAULT_CHECKPOINT.replace("/", "--")
    folder = tmp_path / "models"
    (folder / ensemble / "1").mkdir(parents=True)
    (folder / ensemble / "config.pbtxt").write_text(TOY_CONFIG)
    (folder / ensemble / "1/model.py").write_text(BROKEN)
    with (
        beside(folder, name, TOY_CONFIG.replace("served_name", "owner"), BROKEN) as triton,
        run_gateway(triton.grpc_port, awaited="/health/live") as client,
    ):
        wait_until(lambda: embed(client) == 200)
        assert {ensemble: "is not ready"} == readiness(client)
        assert embed(client, DEFAULT_CHECKPOINT) == 503
