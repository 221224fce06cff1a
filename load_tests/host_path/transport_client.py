"""Callers of Triton itself, each way in turn; a job is told by `worker`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import tritonclient.http.aio as triton_http
import uvloop
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.inference.channels import Clear
from gateway.inference.embedder import EmbeddingCall
from gateway.inference.messages import build_request, probing, read_answer, split_answer
from gateway.inference.tensors import DTYPES
from load_tests.bench.client import Target
from load_tests.host_path.client import Load, connect, drive
from load_tests.host_path.worker import Work, serve
from load_tests.payloads import equal, take, texts

WARM_UP_SECONDS = 0.3
DEADLINE_SECONDS = 60.0
SPECIAL_TOKENS = 2
Ask = Callable[[], Awaitable[object]]


async def open_grpc(stack: AsyncExitStack, address: str, call: EmbeddingCall) -> Ask:
    """As gateway/inference does it."""
    channel = await stack.enter_async_context(Clear().open(address))
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    chunk = range(len(call.texts))

    async def ask() -> object:
        request = build_request(call, chunk)
        answer = await stub.ModelInfer(request, timeout=DEADLINE_SECONDS)
        return read_answer(next(split_answer(answer, [len(chunk)])), call)

    return ask


async def open_http(stack: AsyncExitStack, address: str, call: EmbeddingCall) -> Ask:
    """By tritonclient, with binary tensors, and as many connections as callers.

    What is the same in every call is made once, which gRPC's way does not do.
    """
    client = triton_http.InferenceServerClient(address, conn_timeout=DEADLINE_SECONDS)
    await stack.enter_async_context(client)
    request = build_request(call, range(len(call.texts)))
    options, outputs = _options(request), _outputs(request)

    async def ask() -> object:
        answer = await client.infer(call.ensemble, [_text(call), *options], outputs=outputs)
        return [answer.as_numpy(output.name) for output in request.outputs]

    return ask


def render(address: str, call: EmbeddingCall) -> tuple[Target, bytes]:
    """The same request as bytes, for nobody to make again."""
    request = build_request(call, range(len(call.texts)))
    body, json_bytes = triton_http.InferenceServerClient.generate_request_body(
        [_text(call), *_options(request)], outputs=_outputs(request)
    )
    url = f"http://{address}/v2/models/{call.ensemble}/infer"
    return Target(url, "", {"Inference-Header-Content-Length": str(json_bytes)}), body


def _text(call: EmbeddingCall) -> Any:
    return _input("TEXT", "BYTES", np.array(call.texts, dtype=object))


def _options(request: service_pb2.ModelInferRequest) -> list[Any]:
    """Every tensor but the texts."""
    tensors = zip(request.inputs[1:], request.raw_input_contents[1:], strict=True)
    return [_input(tensor.name, tensor.datatype, _numbers(tensor, raw)) for tensor, raw in tensors]


def _numbers(tensor: Any, raw: bytes) -> NDArray[Any]:
    dtype = np.dtype(bool) if tensor.datatype == "BOOL" else DTYPES[tensor.datatype]
    return np.frombuffer(raw, dtype).reshape(tuple(tensor.shape))


def _outputs(request: service_pb2.ModelInferRequest) -> list[Any]:
    return [triton_http.InferRequestedOutput(output.name) for output in request.outputs]


def _input(name: str, datatype: str, array: NDArray[Any]) -> Any:
    made = triton_http.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


async def ask_again(ask: Ask, callers: int, seconds: float) -> int:
    """Closed-loop callers; returns the calls answered."""
    calls, end = 0, time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal calls
        while time.perf_counter() < end:
            await ask()
            calls += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return calls


def prepare(job: dict[str, Any], loop: asyncio.AbstractEventLoop) -> Work:
    batch = take(job["texts"], texts(equal(job["tokens"] - SPECIAL_TOKENS), "transports"))
    encoded = tuple(text.encode() for text in batch)
    estimates = [job["tokens"]] * len(batch)
    call = replace(probing(job["ensemble"]), texts=encoded, token_estimates=estimates)
    drive_for = _bare if job["way"] == "bare" else _by_client
    return drive_for(job, call, loop)


def _by_client(job: dict[str, Any], call: EmbeddingCall, loop: asyncio.AbstractEventLoop) -> Work:
    stack = AsyncExitStack()
    opened = {"grpc": open_grpc, "http": open_http}[job["way"]]
    ask = loop.run_until_complete(opened(stack, job["address"], call))
    loop.run_until_complete(ask_again(ask, job["callers"], WARM_UP_SECONDS))

    def work() -> dict[str, Any]:
        cpu = time.process_time_ns()
        calls = loop.run_until_complete(ask_again(ask, job["callers"], job["seconds"]))
        cpu = time.process_time_ns() - cpu
        loop.run_until_complete(stack.aclose())
        return {"calls": calls, "client": cpu}

    return work


def _bare(job: dict[str, Any], call: EmbeddingCall, loop: asyncio.AbstractEventLoop) -> Work:
    target, body = render(job["address"], call)
    callers = loop.run_until_complete(connect(target, job["callers"]))

    def run(seconds: float) -> int:
        load = Load(target, iter(lambda: body, None), seconds)
        loop.run_until_complete(drive(callers, load))
        return load.calls

    run(WARM_UP_SECONDS)

    def work() -> dict[str, Any]:
        cpu = time.process_time_ns()
        calls = run(job["seconds"])
        cpu = time.process_time_ns() - cpu
        for caller in callers:
            caller.close()
        return {"calls": calls, "client": cpu}

    return work


def main() -> None:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    serve(lambda job: prepare(job, loop))


if __name__ == "__main__":
    main()
