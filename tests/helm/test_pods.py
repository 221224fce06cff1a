"""What the chart runs in pods, run here: the gateway, Triton's arguments, both scripts."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.local.triton_process import TritonProcess, free_ports
from tests.gateway.fake_gateway import run_fake_gateway
from tests.helm.chart import (
    Manifest,
    arguments,
    changed,
    container_of,
    environment,
    pick,
    render,
    worked,
)
from tests.serving import run_gateway
from tests.triton.conftest import TOY_CONFIG, TOY_MODEL

DIGEST_OF_KEY = "sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"  # "key"

HEALTHY: tuple[int, object] = (200, {"outputs": []})
DEAD: tuple[int, object] = (500, {"error": "Stub process 'a@1-encoder_0' is not healthy."})
FULL: tuple[int, object] = (503, {"error": "Exceeds maximum queue size"})


def script(container: Manifest, command: list[str]) -> str:
    """The Python program that a pod runs."""
    assert command[:2] == ["python3", "-c"]
    assert container["image"]
    return command[2]


def run(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def liveness() -> str:
    container = container_of(render(worked("cpu")), "-triton")
    return script(container, container["livenessProbe"]["exec"]["command"])


def helm_test() -> str:
    (container,) = pick(render(worked("cpu")), "Pod")["spec"]["containers"]
    return script(container, container["command"])


@contextmanager
def triton_that_says(status: int, answer: object) -> Iterator[int]:
    """Port of a Triton with two ready models, a step, and one that is loading."""
    index = [
        {"name": "org--a", "version": "1", "state": "READY"},
        {"name": "org--b", "version": "1", "state": "READY"},
        {"name": "org--a@0123456789ab-encoder", "version": "1", "state": "READY"},
        {"name": "org--c", "version": "1", "state": "LOADING"},
    ]
    answers = {
        "/v2/repository/index": (200, index),
        "/v2/models/org--a/infer": HEALTHY,
        "/v2/models/org--b/infer": (status, answer),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            code, said = answers[self.path]
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("said", "code"), [(HEALTHY, 0), (FULL, 0), (DEAD, 1)], ids=["well", "full", "dead step"]
)
def test_liveness_fails_of_a_dead_step_alone(said: tuple[int, object], code: int) -> None:
    with triton_that_says(*said) as port:
        assert run(liveness(), TRITON_HTTP_PORT=str(port)).returncode == code


def test_liveness_fails_where_nobody_answers() -> None:
    (port,) = free_ports(1)
    assert run(liveness(), TRITON_HTTP_PORT=str(port)).returncode == 1


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A gateway on what the chart renders, but for places of this machine; what the test gets."""
    keys = [{"name": "test", "digest": DIGEST_OF_KEY}]
    manifests = render(changed(worked("cpu"), {"gateway.auth": {"keys": keys}}))
    file = tmp_path / "keys.toml"
    file.write_text(pick(manifests, "Secret")["stringData"]["keys.toml"])
    (operations,) = free_ports(1)
    places = {
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_OPERATIONS_PORT": str(operations),
        "GATEWAY_API_KEYS_FILE": str(file),
        "GATEWAY_LOG_FORMAT": "text",
    }
    variables = environment(manifests) | places
    del variables["GATEWAY_PORT"]
    with run_fake_gateway(tmp_path, port=0, **variables) as running:
        yield {
            "CALLS": running.url,
            "OPERATIONS": f"http://127.0.0.1:{operations}",
            "AUTH": "required",
        }


def test_helm_test_embeds_a_text_with_a_key(gateway: dict[str, str]) -> None:
    done = run(helm_test(), API_KEY="key", **gateway)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "ok length 1")
    assert run(helm_test(), API_KEY="another", **gateway).returncode == 1


def test_helm_test_without_a_key_checks_that_it_is_refused(gateway: dict[str, str]) -> None:
    done = run(helm_test(), **gateway)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "ok a call without a key is refused",
    )


class ChartTriton(TritonProcess):
    """Triton with the arguments of the chart, but for places of this machine."""

    def __init__(self, repository: Path, log_file: Path, given: list[str]) -> None:
        super().__init__(repository, log_file, "chart")
        self._given = given

    def _command(self, backends: Path) -> list[str]:
        program, *own = super()._command(backends)
        places = ("address", "directory", "port=", "prefix", "--model-repository")
        here = [one for one in own if any(place in one for place in places)]
        given = [one for one in self._given if not any(place in one for place in places)]
        return [program, *given, *here]


@pytest.fixture
def whole_toy(tmp_path: Path) -> Path:
    """A repository of a toy that has the output that liveness asks for."""
    floats = 'pb_utils.Tensor("FLOAT", np.full((count, 4), 0.5, np.float32)),'
    bits = 'pb_utils.Tensor("UBINARY", np.zeros((count, 1), np.uint8)),'
    (tmp_path / "models/toy/1").mkdir(parents=True)
    (tmp_path / "models/toy/config.pbtxt").write_text(TOY_CONFIG)
    (tmp_path / "models/toy/1/model.py").write_text(TOY_MODEL.replace(floats, floats + bits))
    return tmp_path / "models"


@pytest.mark.triton
@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_triton_takes_the_arguments_and_a_gateway_embeds_by_it(
    name: str, whole_toy: Path, tmp_path: Path
) -> None:
    """And a dead step is seen, of which Triton itself says that it is live and ready."""
    given = arguments(render(worked(name)), POD_UID="uid-of-the-pod")
    with ChartTriton(whole_toy, tmp_path / "triton.log", given) as triton:
        triton.start()
        port = str(triton.http_port)
        with run_gateway(triton.grpc_port) as client:
            call = {"model": "toy", "input": "a text"}
            answer = client.post("/v1/embeddings", json=call, headers={"Authorization": "KEY"})
        assert answer.json()["data"][0]["embedding"] == [0.5] * 4
        assert run(liveness(), TRITON_HTTP_PORT=port).returncode == 0
        assert_closed(triton)
        (step,) = triton.step_pids
        os.kill(step, signal.SIGKILL)
        assert run(liveness(), TRITON_HTTP_PORT=port).returncode == 1


def assert_closed(triton: TritonProcess) -> None:
    """What reaches into the process is refused without the uid of the pod, however it is asked."""
    url = f"http://127.0.0.1:{triton.http_port}/v2"
    for path in ("/systemsharedmemory/status", "/trace/setting", "/logging"):
        assert httpx.get(url + path).status_code == 403
        assert httpx.get(url + path, headers={"closed": "uid-of-the-pod"}).status_code == 200
    with grpc.insecure_channel(f"127.0.0.1:{triton.grpc_port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="restricted"):
            stub.LogSettings(service_pb2.LogSettingsRequest())
        assert stub.RepositoryIndex(service_pb2.RepositoryIndexRequest()).models
