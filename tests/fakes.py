"""Stand-ins for what lies behind the gateway: FakeEmbedder, and a gRPC server that is Triton's.

Both embed the same way: the words of a text seed its numbers, a word is a token,
[CLS] and [SEP] are two more.
"""

import asyncio
import json
import math
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from gateway.access.ledger import Ledger
from gateway.errors import (
    DimensionsNotSupported,
    GatewayError,
    InputTooLong,
    InvalidDimensions,
    UpstreamError,
)
from gateway.inference import tensors
from gateway.inference.embedder import (
    EmbeddingCall,
    Embeddings,
    Ensemble,
    Repository,
    TritonStatus,
    Truncation,
)
from load_tests.bench.constant import declare

MODEL = "mixedbread-ai/mxbai-embed-large-v1"
ENSEMBLE = "mixedbread-ai--mxbai-embed-large-v1"
STEP = f"{ENSEMBLE}@0123456789ab-encoder"
PARAMETERS = {
    "served_name": MODEL,
    "aliases": '["large"]',
    "dimensions": "1024",
    "max_length": "512",
    "matryoshka": "true",
    "revision": "abc",
    "micro_batch_tokens": "32",
}
MAX_LENGTH = int(PARAMETERS["max_length"])
NATIVE = int(PARAMETERS["dimensions"])
EDITION = "7"


def roomy_ledger() -> Ledger:
    """One that turns nobody away."""
    return Ledger(max_bytes=2**40, max_tokens=2**40, small_tokens=512)


def embed_raw(texts: Sequence[bytes], dimensions: int = 1024) -> NDArray[np.float32]:
    """(N, D) numbers that depend on nothing but the text."""
    rows = [
        np.random.default_rng(crc32(text)).standard_normal(dimensions).astype(np.float32)
        for text in texts
    ]
    return np.stack(rows)


def quantize(raw: NDArray[np.float32], d: int, normalized: bool) -> dict[str, NDArray[Any]]:
    """Every format of (N, D) raw vectors, as docs/contract.md writes them down."""
    cut = raw[:, :d]
    unit = cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12)
    chosen = unit if normalized else cut
    scale = 74.9 * math.log(max(d, 8)) - 59.8
    ubinary = np.packbits(cut > 0, axis=1)
    return {
        "float": chosen,
        "float16": chosen.astype(np.float16),
        "int8": np.trunc(np.clip(unit * scale, -128, 127)).astype(np.int8),
        "uint8": np.floor(np.clip(unit * scale + 128, 0, 255)).astype(np.uint8),
        "ubinary": ubinary,
        "binary": (ubinary.astype(np.int16) - 128).astype(np.int8),
    }


def count_tokens(texts: Sequence[bytes], truncation: Truncation) -> NDArray[np.int32]:
    """(N,) words and two special tokens, at most 512.

    Raises: InputTooLong under `none`.
    """
    lengths = [len(text.split()) + 2 for text in texts]
    overflows = {i: length for i, length in enumerate(lengths) if length > MAX_LENGTH}
    if truncation == "none" and overflows:
        raise InputTooLong(MAX_LENGTH, overflows)
    return np.minimum(lengths, MAX_LENGTH).astype(np.int32)


@dataclass
class FakeEmbedder:
    """An Embedder whose answers, failures and pauses a test chooses."""

    repositories: Repository | GatewayError = field(
        default_factory=lambda: Repository([Ensemble(ENSEMBLE, parameters=PARAMETERS)])
    )
    failure: Exception | None = None
    pause_seconds: float = 0.0
    calls: list[EmbeddingCall] = field(default_factory=list)
    probes: list[str] = field(default_factory=list)
    cancelled: int = 0
    tritons: list[TritonStatus] = field(default_factory=list)

    async def embed(self, call: EmbeddingCall) -> Embeddings:
        call.entry.admit(sum(call.token_estimates))
        self.calls.append(call)
        try:
            await asyncio.sleep(self.pause_seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure:
            raise self.failure
        counts = count_tokens(call.texts, call.truncation)
        d = self._dimensions(call)
        arrays = quantize(embed_raw(call.texts), d, call.normalized)
        chosen = {name: arrays[name] for name in call.number_formats}
        return Embeddings(chosen, counts, d, EDITION)

    def _dimensions(self, call: EmbeddingCall) -> int:
        asked = NATIVE if call.dimensions is None else call.dimensions
        if not 1 <= asked <= NATIVE:
            raise InvalidDimensions(asked, NATIVE)
        assert isinstance(self.repositories, Repository)
        (model,) = (e for e in self.repositories.ensembles if e.name == call.ensemble)
        if asked != NATIVE and model.parameters["matryoshka"] == "false":
            raise DimensionsNotSupported(call.model, NATIVE)
        return asked

    async def probe(self, ensemble: str) -> None:
        self.probes.append(ensemble)
        if isinstance(self.failure, UpstreamError):
            raise self.failure

    def is_busy(self, ensemble: str) -> bool:
        return False

    async def repository(self) -> Repository:
        if isinstance(self.repositories, GatewayError):
            raise self.repositories
        return self.repositories

    def waiting_tokens(self) -> dict[tuple[str, ...], int]:
        return {("bulk",): 0, ("interactive",): 0}

    def triton_tokens(self) -> dict[tuple[str, ...], int]:
        return {("bulk",): 0, ("interactive",): 0}

    def capacity_tokens(self) -> dict[tuple[str, ...], int]:
        return {}

    def embedded_tokens(self) -> dict[tuple[str, ...], int]:
        return {}

    def retries(self) -> dict[tuple[str, ...], int]:
        return {}

    def triton_requests(self) -> dict[tuple[str, ...], int]:
        return {}

    def ready_tritons(self) -> int:
        return len(self.tritons)

    def status(self) -> list[TritonStatus]:
        return self.tritons

    async def close(self) -> None:
        pass


def declare_ensemble(**changed: str) -> Any:
    """The ModelConfig of the fake ensemble, parameters replaced by `changed`."""
    return declare(ENSEMBLE, PARAMETERS | changed)


def older(config: Any) -> Any:
    """The ModelConfig of an ensemble of an older export, which knows no FORMATS."""
    del config.input[-1]
    return config


@dataclass
class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Triton's service with one ensemble and its steps; a test chooses what goes wrong."""

    configs: dict[str, Any] = field(
        default_factory=lambda: {
            ENSEMBLE: declare_ensemble(),
            STEP: model_config_pb2.ModelConfig(name=STEP),
        }
    )
    states: list[tuple[str, str, str]] = field(default_factory=list)
    failure: tuple[grpc.StatusCode, str] | None = None
    failing_text: bytes | None = None  # None: every request fails, if any
    replaced: dict[str, NDArray[Any]] = field(default_factory=dict)  # outputs of another shape
    native: int = NATIVE
    matryoshka: bool = True
    edition: str = EDITION  # of the ensemble
    editions: Iterator[str] | None = None  # of each answer, where they differ
    pause_seconds: float = 0.0
    requests: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)  # of each of these requests
    cancelled: int = 0
    is_ending: bool = False  # as after SIGTERM: the port is open, no model has a version
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)  # cleared as by SIGSTOP

    def __post_init__(self) -> None:
        self.goes_on.set()

    async def ServerLive(self, request: Any, context: Any) -> Any:
        await self.goes_on.wait()
        return service_pb2.ServerLiveResponse(live=True)

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        await self.goes_on.wait()
        if self.is_ending:
            self.states = [(name, "UNAVAILABLE", "unloading") for name in self.configs]
        states = self.states or [(name, "READY", "") for name in self.configs]
        entry = service_pb2.RepositoryIndexResponse.ModelIndex
        return service_pb2.RepositoryIndexResponse(
            models=[
                entry(name=name, version=self.edition, state=state, reason=why)
                for name, state, why in states
            ]
        )

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        if request.name not in self.configs:
            await context.abort(grpc.StatusCode.NOT_FOUND, "has no available versions")
        return service_pb2.ModelConfigResponse(config=self.configs[request.name])

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        await self.goes_on.wait()
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.is_ending:
            await context.abort(grpc.StatusCode.NOT_FOUND, "has no available versions")
        await self._refuse_inputs(request, context)
        texts = unpack_texts(request.raw_input_contents[0])
        if self.failure and (self.failing_text is None or self.failing_text in texts):
            await context.abort(*self.failure)
        try:
            await asyncio.sleep(self.pause_seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return await self._infer(request, texts, context)

    async def _refuse_inputs(self, request: Any, context: Any) -> None:
        """Refuses a tensor that the model does not declare, in Triton's words."""
        config = self.configs.get(request.model_name, declare_ensemble())
        declared = {tensor.name for tensor in config.input}
        if extra := {tensor.name for tensor in request.inputs} - declared:
            message = f"expected {len(declared)} inputs but got more. Got input(s) {sorted(extra)}"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)

    async def _infer(self, request: Any, texts: list[bytes], context: Any) -> Any:
        truncation, asked = (struct.unpack("<i", raw)[0] for raw in request.raw_input_contents[1:3])
        try:
            counts = count_tokens(texts, ("end", "start", "none")[truncation])
        except InputTooLong as error:
            message = f"in ensemble '{ENSEMBLE}', INPUT_TOO_LONG {json.dumps(error.details)}"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        d = asked or self.native
        if not 1 <= d <= self.native or (d < self.native and not self.matryoshka):
            report = {"dimensions": asked, "native": self.native, "matryoshka": self.matryoshka}
            message = f"in ensemble '{ENSEMBLE}', DIMENSIONS_REFUSED {json.dumps(report)}"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        raw = embed_raw(texts, self.native)
        arrays = quantize(raw, d, request.raw_input_contents[3] == b"\x01")
        codes = request.raw_input_contents[4:] or [b"\x3f\0\0\0"]  # all of them
        outputs = {
            tensor.name: arrays[name]
            for bit, (name, tensor) in enumerate(tensors.EMBEDDINGS.items())
            if codes[0][0] >> bit & 1
        }
        outputs |= {"TOKEN_COUNT": counts, "WIDTH": np.array([d], dtype=np.int32)}
        edition = next(self.editions) if self.editions else self.edition
        return render_outputs(request, outputs | self.replaced, edition)


def unpack_texts(raw: bytes) -> list[bytes]:
    """BYTES → texts, the plain way."""
    texts = []
    while raw:
        (length,) = struct.unpack("<I", raw[:4])
        texts.append(raw[4 : 4 + length])
        raw = raw[4 + length :]
    return texts


def render_outputs(request: Any, arrays: dict[str, NDArray[Any]], edition: str) -> Any:
    """The outputs the request names, in its order."""
    wanted = [output.name for output in request.outputs if output.name in arrays]
    tensor = service_pb2.ModelInferResponse.InferOutputTensor
    return service_pb2.ModelInferResponse(
        model_name=request.model_name,
        model_version=edition,
        outputs=[tensor(name=name, shape=arrays[name].shape) for name in wanted],
        raw_output_contents=[arrays[name].tobytes() for name in wanted],
    )


@asynccontextmanager
async def serve_triton(triton: FakeTriton, port: int = 0) -> AsyncIterator[int]:
    """Serves on loopback; gives the port."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)
