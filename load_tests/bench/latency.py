"""Where each millisecond of one short text goes: in process, through Triton, through the gateway.

One caller. Every question takes every way in turn, so that what else the machine does falls on
all of them.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias
from urllib.parse import urljoin, urlsplit

import aiohttp
import numpy as np
import orjson
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import np_to_triton_dtype

from export.steps.inference import CpuEncoder
from export.steps.tokenization import PackedTokenizer
from gateway.local.triton_process import TritonProcess
from gateway.local.triton_wheel import CannotServe
from load_tests.bench.client import Target
from load_tests.bench.servers import BUILD, CannotStart, ours, started
from load_tests.payloads import QUESTIONS, take, texts
from load_tests.record import commit, machine

Way: TypeAlias = Callable[[str], Awaitable[None]]

WARM_UP = 20  # questions that do not count
MODEL_LIMIT = 256  # tokens; no question comes near
DIMENSIONS = 384


class Ways:
    """The ways that a question can take, from the shortest to that of a client."""

    def __init__(
        self, folder: Path, name: str, triton: InferenceServerClient, target: Target
    ) -> None:
        """folder: the exported repository; name: of the ensemble in it."""
        self._name = name
        self._steps = {path.name.rpartition("-")[2]: path for path in folder.glob(f"{name}@*")}
        tokenizer_json = self._steps["tokenizer"] / "1" / "tokenizer.json"
        self._tokenizer = PackedTokenizer(tokenizer_json, MODEL_LIMIT)
        self._encoder = CpuEncoder(self._steps["encoder"] / "1" / "model.onnx")
        self._triton = triton
        self._target = target
        self._session = aiohttp.ClientSession(headers=dict(target.headers))

    def all(self) -> dict[str, Way]:
        return {
            "tokenizer, in process": self.tokenize,
            "tokenizer and onnxruntime, in process": self.embed,
            "gRPC, tokenizer step": self.tokenizer_step,
            "gRPC, encoder step": self.encoder_step,
            "gRPC, quantize step": self.quantize_step,
            "gRPC, ensemble": self.ensemble,
            "HTTP, gateway alone (GET /health/live)": self.live,
            "HTTP, gateway and ensemble": self.gateway,
        }

    async def close(self) -> None:
        await self._session.close()

    async def tokenize(self, text: str) -> None:
        self._tokenizer.tokenize([text])

    async def embed(self, text: str) -> None:
        self._encoder.embed(*self._tokenizer.tokenize([text]))

    async def tokenizer_step(self, text: str) -> None:
        await self._infer(self._steps["tokenizer"].name, _question(text), ["INPUT_IDS", "SEQ_LENS"])

    async def encoder_step(self, text: str) -> None:
        input_ids, seq_lens = self._tokenizer.tokenize([text])
        inputs = {"INPUT_IDS": input_ids[np.newaxis], "SEQ_LENS": seq_lens[np.newaxis]}
        await self._infer(self._steps["encoder"].name, inputs, ["EMBEDDING"])

    async def quantize_step(self, text: str) -> None:
        embedding = np.ones((1, DIMENSIONS), dtype=np.float32)
        await self._infer(
            self._steps["quantize"].name, {"EMBEDDING": embedding, **_options()}, ["FLOAT"]
        )

    async def ensemble(self, text: str) -> None:
        await self._infer(self._name, {**_question(text), **_options()}, ["FLOAT", "TOKEN_COUNT"])

    async def live(self, text: str) -> None:
        async with self._session.get(urljoin(self._target.url, "/health/live")) as answer:
            await answer.read()

    async def gateway(self, text: str) -> None:
        body = orjson.dumps({"model": self._target.model, "input": text})
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._target.url, data=body, headers=headers) as answer:
            answer.raise_for_status()
            await answer.read()

    async def _infer(self, model: str, inputs: dict[str, Any], outputs: Sequence[str]) -> None:
        tensors = [
            InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
            for name, array in inputs.items()
        ]
        for tensor, array in zip(tensors, inputs.values(), strict=True):
            tensor.set_data_from_numpy(array)
        wanted = [InferRequestedOutput(name) for name in outputs]
        await self._triton.infer(model, tensors, outputs=wanted)


def _question(text: str) -> dict[str, Any]:
    return {
        "TEXT": np.array([text.encode()], dtype=object),
        "TRUNCATION": np.zeros(1, dtype=np.int32),
    }


def _options() -> dict[str, Any]:
    return {"DIMENSIONS": np.array([DIMENSIONS], dtype=np.int32), "NORMALIZED": np.array([True])}


async def measure(ways: dict[str, Way], count: int) -> dict[str, list[float]]:
    """Milliseconds of each question by way."""
    milliseconds: dict[str, list[float]] = {name: [] for name in ways}
    for number, text in enumerate(take(count + WARM_UP, texts(QUESTIONS, "latency"))):
        for name, way in ways.items():
            began = time.perf_counter()
            await way(text)
            if number >= WARM_UP:
                milliseconds[name].append(1e3 * (time.perf_counter() - began))
    return milliseconds


def table(milliseconds: dict[str, list[float]]) -> str:
    """What people read."""
    p50 = {name: median(values) for name, values in milliseconds.items()}
    in_process = p50["tokenizer and onnxruntime, in process"]
    ensemble, whole = p50["gRPC, ensemble"], p50["HTTP, gateway and ensemble"]
    rows = [f"| {name} | {value:.2f} |" for name, value in p50.items()]
    return "\n".join(
        [
            "| one question, one caller | p50 ms |",
            "| --- | ---: |",
            *rows,
            f"| **Triton adds** | {ensemble - in_process:.2f} |",
            f"| **the gateway adds** | {whole - ensemble:.2f} |",
            f"| **both together** | {whole - in_process:.2f} |",
        ]
    )


@contextlib.contextmanager
def serving(precision: str) -> Iterator[tuple[Path, int, Target]]:
    """Triton and, in a process of its own, the gateway: repository, gRPC port, REST target."""
    recipe = ours(precision)
    repository = BUILD / "bench" / precision
    with TritonProcess(repository, BUILD / "bench" / "triton-latency.log", "latency") as triton:
        triton.start()
        environ = {
            **dict(recipe.environ),
            "GATEWAY_TRITON_ADDRESS": f"127.0.0.1:{triton.grpc_port}",
            "GATEWAY_PORT": str(urlsplit(recipe.target.url).port),
        }
        command = (sys.executable, "-m", "gateway")
        with started(replace(recipe, command=command, environ=tuple(environ.items()))) as server:
            yield repository, triton.grpc_port, server.target


async def run(repository: Path, grpc_port: int, target: Target, count: int) -> str:
    """The table of one exported model."""
    async with InferenceServerClient(f"127.0.0.1:{grpc_port}") as triton:
        ways = Ways(repository, target.model.replace("/", "--"), triton, target)
        try:
            return table(await measure(ways.all(), count))
        finally:
            await ways.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench.latency", description=__doc__)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--questions", type=int, default=500)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers as Ctrl-C does
    try:
        with serving(options.precision) as (repository, grpc_port, target):
            print(asyncio.run(run(repository, grpc_port, target, options.questions)))
    except (CannotStart, CannotServe) as error:
        print(f"latency: {error}", file=sys.stderr)
        return 1
    print(f"\nCommit {commit()} on {machine()}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
