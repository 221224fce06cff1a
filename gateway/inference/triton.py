"""TritonEmbedder: one ModelInfer per chunk on the ensemble."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from gateway.access.keys import ANYBODY
from gateway.access.ledger import Ledger
from gateway.errors import (
    ContractMismatch,
    InputTooLong,
    ModelReplaced,
    NotFinite,
    Overloaded,
    TritonUnavailable,
)
from gateway.inference import chunking, tensors
from gateway.inference.embedder import (
    EmbeddingCall,
    Embeddings,
    Ensemble,
    NumberFormat,
    Repository,
    State,
)
from gateway.inference.lanes import Lane, Lanes, Windows
from gateway.inference.merging import Merge
from gateway.inference.names import folder_of_step
from gateway.inference.rpc_errors import MESSAGES, map_rpc_errors
from gateway.telemetry.timeline import Timeline

Message: TypeAlias = Any  # tritonclient's generated code carries no types

# Seconds; questions about the repository are answered from memory.
ASK_TIMEOUT_SECONDS = 1.0
# Seconds after which what Triton has is given up for lost: far above what the windows let in.
LOST_SECONDS = 300.0

CHANNEL_OPTIONS = (
    # 256 texts of 4096 float32 are above gRPC's 4 MiB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A restarted Triton is found again within a second, not within two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Triton's default tolerates a ping every five minutes.
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Spreads over all addresses of a headless service; one address is no different.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.use_local_subchannel_pool", 1),
)


class TritonEmbedder:
    """The Embedder that asks Triton over gRPC.

    address       gRPC target, for example 127.0.0.1:8001 or dns:///triton:8001
    chunk_tokens  estimated tokens of one ModelInfer
    chunk_texts   texts of one ModelInfer
    windows       how many tokens Triton has at a time of each model

    All three are more for a model whose encoder takes more tokens at a time.

    Belongs to one event loop: the channel is opened by the first call, in that call's loop.
    """

    def __init__(
        self,
        address: str,
        *,
        chunk_tokens: int = 1024,
        chunk_texts: int = 64,
        windows: Windows = Windows(),  # noqa: B008 - frozen
    ) -> None:
        self._address = address
        self._lanes: defaultdict[str, Lanes] = defaultdict(lambda: Lanes(windows))  # by ensemble
        self._running: set[asyncio.Task[Message]] = set()
        self._chunk_tokens = chunk_tokens
        self._chunk_texts = chunk_texts
        self._channel: grpc.aio.Channel | None = None

    @property
    def _stub(self) -> service_pb2_grpc.GRPCInferenceServiceStub:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._address, options=CHANNEL_OPTIONS)
            self._cached_stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        return self._cached_stub

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def embed(self, call: EmbeddingCall) -> Embeddings:
        """The embeddings of one call; its chunks run side by side.

        The first failing chunk ends the call, and what of it has not begun. Texts that are too long
        do not: every chunk is heard, and the error names all of them. A call whose chunks fell on
        both sides of a new edition of the model is made once more.

        Raises: UpstreamError, InputTooLong, InvalidDimensions, DimensionsNotSupported.
        """
        call.entry.admit(sum(call.token_estimates))
        max_tokens, max_texts = chunking.limits(
            self._chunk_tokens, self._chunk_texts, call.micro_batch_tokens
        )
        chunks = chunking.cut(call.token_estimates, max_tokens=max_tokens, max_texts=max_texts)
        lanes = self._lanes[call.ensemble]
        lanes.fit(call.micro_batch_tokens)
        lane = lanes.lane_of(sum(call.token_estimates))
        if len(chunks) == 1:
            return await self._embed_chunk(call, chunks[0], lane)
        try:
            return await self._embed_chunks(call, chunks, lane)
        except ModelReplaced as replaced:
            try:
                call.entry.admit(sum(call.token_estimates))
            except Overloaded:
                raise replaced from None
        return await self._embed_chunks(call, chunks, lane)

    async def _embed_chunks(
        self, call: EmbeddingCall, chunks: Sequence[list[int]], lane: Lane
    ) -> Embeddings:
        merge = Merge(len(call.texts))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._place_chunk(call, chunk, lane, merge))
                    for chunk in chunks
                ]
        except BaseExceptionGroup as failures:
            first = failures.exceptions[0]
            raise first from first.__cause__
        _raise_merged([task.result() for task in tasks])
        return merge.result()

    async def _place_chunk(
        self, call: EmbeddingCall, chunk: list[int], lane: Lane, merge: Merge
    ) -> InputTooLong | None:
        """Writes the rows of one chunk, or tells which of its texts are too long."""
        try:
            rows = await self._embed_chunk(call, chunk, lane)
        except InputTooLong as error:
            overflows = {chunk[index]: length for index, length in error.overflows.items()}
            return InputTooLong(error.max_length, overflows)
        merge.place(chunk, rows)
        return None

    async def _embed_chunk(self, call: EmbeddingCall, chunk: list[int], lane: Lane) -> Embeddings:
        tokens = sum(call.token_estimates[index] for index in chunk)
        await lane.take(call.entry.caller, tokens)
        call.entry.send(tokens)
        call.timeline.ended("queue")
        task = asyncio.create_task(self._infer(call, chunk, lane, tokens))
        self._running.add(task)
        task.add_done_callback(self._forget)
        # An ensemble does what it has begun: a cancelled call leaves it to its end, and counted.
        answer = await asyncio.shield(task)
        return read_answer(answer, call, len(chunk))

    async def _infer(
        self, call: EmbeddingCall, chunk: Sequence[int], lane: Lane, tokens: int
    ) -> service_pb2.ModelInferResponse:
        """Triton's answer for one chunk, which holds its place in the lane until then."""
        try:
            inference = call.timeline.infer(self._address, len(chunk), tokens)
            with inference, map_rpc_errors(call):
                request = build_request(call, chunk)
                answer = await self._stub.ModelInfer(request, timeout=LOST_SECONDS)
            inference.tokens = count_tokens(answer)
            if (more := inference.tokens - tokens) > 0:
                lane.charge(call.entry.caller, more)
            return answer
        finally:
            lane.give_back(tokens)
            call.entry.answered(tokens)

    def _forget(self, task: asyncio.Task[Message]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains where the caller has left

    async def probe(self, ensemble: str) -> None:
        call = probing(ensemble)
        with map_rpc_errors(call):
            answer = await self._stub.ModelInfer(build_request(call, [0]), timeout=LOST_SECONDS)
        read_answer(answer, call, 1)

    def is_busy(self, ensemble: str) -> bool:
        lanes = self._lanes[ensemble]
        return bool(lanes.bulk.in_flight_tokens or lanes.interactive.in_flight_tokens)

    def waiting_tokens(self) -> Mapping[tuple[str, ...], int]:
        return self._sum_lanes(lambda lane: lane.waiting_tokens)

    def triton_tokens(self) -> Mapping[tuple[str, ...], int]:
        return self._sum_lanes(lambda lane: lane.in_flight_tokens)

    def _sum_lanes(self, count: Callable[[Lane], int]) -> Mapping[tuple[str, ...], int]:
        models = self._lanes.values()
        return {
            ("bulk",): sum(count(lanes.bulk) for lanes in models),
            ("interactive",): sum(count(lanes.interactive) for lanes in models),
        }

    async def repository(self) -> Repository:
        """What Triton lists, with the declaration of every model that is ready.

        Raises: UpstreamError.
        """
        index = await self._ask("RepositoryIndex", service_pb2.RepositoryIndexRequest())
        states = read_states(index)
        ensembles = await asyncio.gather(
            *(self._describe(name, state) for name, state in sorted(states.items()))
        )
        return Repository(ensembles)

    async def _describe(self, name: str, state: State) -> Ensemble:
        if state != "ready" or folder_of_step(name):
            return Ensemble(name, state)
        try:
            answer = await self._ask("ModelConfig", service_pb2.ModelConfigRequest(name=name))
        except TritonUnavailable:  # it went between two questions
            return Ensemble(name, "loading")
        return read_config(answer.config)

    async def _ask(self, method: str, question: Message) -> Message:
        with map_rpc_errors():
            return await getattr(self._stub, method)(question, timeout=ASK_TIMEOUT_SECONDS)


def probing(ensemble: str) -> EmbeddingCall:
    """A call that owes nothing to anybody: of a text that every tokenizer knows."""
    return EmbeddingCall(
        model="",
        ensemble=ensemble,
        texts=[b"ready?"],
        token_estimates=[4],
        number_formats=("float",),
        dimensions=None,
        normalized=True,
        truncation="end",
        entry=Ledger(max_bytes=0, max_tokens=0, small_tokens=0).open(ANYBODY),
        timeline=Timeline("probe"),
    )


def read_states(index: service_pb2.RepositoryIndexResponse) -> dict[str, State]:
    """Model → state, by the most hopeful of its versions."""
    hope: tuple[State, ...] = ("idle", "unloaded", "loading", "ready")
    states: dict[str, State] = {}
    for entry in index.models:  # one for each version
        state: State = "loading"
        if entry.state in ("", "READY"):
            state = "ready" if entry.state else "idle"
        elif entry.reason == "unloaded":
            state = "unloaded"
        states[entry.name] = max(states.get(entry.name, "idle"), state, key=hope.index)
    return states


def read_config(config: model_config_pb2.ModelConfig) -> Ensemble:
    """An ensemble as its ModelConfig message describes it."""
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    mismatch = tensors.find_mismatch(_declared(config.input), _declared(config.output))
    return Ensemble(config.name, parameters=parameters, mismatch=mismatch)


def _declared(
    declarations: Sequence[model_config_pb2.ModelInput],
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name → (datatype, dims); TYPE_STRING is called BYTES everywhere else."""
    return {
        tensor.name: (
            model_config_pb2.DataType.Name(tensor.data_type)
            .removeprefix("TYPE_")
            .replace("STRING", "BYTES"),
            tuple(tensor.dims),
        )
        for tensor in declarations
    }


def build_request(call: EmbeddingCall, chunk: Sequence[int]) -> service_pb2.ModelInferRequest:
    """The ModelInferRequest for the texts of `chunk`; names only the outputs wanted."""
    texts = [call.texts[index] for index in chunk]
    return service_pb2.ModelInferRequest(
        model_name=call.ensemble,
        id=call.timeline.request_id,
        inputs=[_input(tensors.TEXT, len(texts)), *_OPTIONS],
        outputs=_outputs(call.number_formats),
        raw_input_contents=[
            tensors.pack_bytes(texts),
            tensors.pack_int32(tensors.TRUNCATION_CODES[call.truncation]),
            tensors.pack_dimensions(call.dimensions),
            tensors.pack_bool(call.normalized),
        ],
    )


def _input(tensor: tensors.Tensor, size: int) -> Message:
    return service_pb2.ModelInferRequest.InferInputTensor(
        name=tensor.name, datatype=tensor.datatype, shape=[size]
    )


@cache
def _outputs(number_formats: tuple[NumberFormat, ...]) -> list[Message]:
    wanted = [
        *(tensors.EMBEDDINGS[number_format] for number_format in number_formats),
        tensors.TOKEN_COUNT,
        tensors.WIDTH,
    ]
    output = service_pb2.ModelInferRequest.InferRequestedOutputTensor
    return [output(name=tensor.name) for tensor in wanted]


_OPTIONS = [
    _input(tensor, 1) for tensor in (tensors.TRUNCATION, tensors.DIMENSIONS, tensors.NORMALIZED)
]


def read_answer(
    answer: service_pb2.ModelInferResponse, call: EmbeddingCall, count: int
) -> Embeddings:
    """The tensors of one answer for `count` texts; the arrays are views on its bytes.

    Raises: ContractMismatch if a tensor is missing or has another size, NotFinite.
    """
    names = [output.name for output in answer.outputs]
    raws = dict(zip(names, answer.raw_output_contents, strict=False))
    width = int(_read(raws, tensors.WIDTH, (1,))[0])
    if width < 1 or call.dimensions not in (None, width):
        raise ContractMismatch(f"the inference server gave {width} dimensions")
    arrays = {
        number_format: _read(
            raws,
            tensors.EMBEDDINGS[number_format],
            tensors.shape(number_format, count, width),
        )
        for number_format in call.number_formats
    }
    token_counts = _read(raws, tensors.TOKEN_COUNT, (count,))
    return Embeddings(arrays, token_counts, width, answer.model_version)


def count_tokens(answer: service_pb2.ModelInferResponse) -> int:
    """Tokens that the tokenizer found, 0 in an answer that does not say."""
    for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=False):
        if output.name == tensors.TOKEN_COUNT.name:
            return int(np.frombuffer(raw, tensors.DTYPES[tensors.TOKEN_COUNT.datatype]).sum())
    return 0


def _read(
    raws: Mapping[str, bytes], tensor: tensors.Tensor, shape: tuple[int, ...]
) -> NDArray[Any]:
    try:
        array = tensors.unpack(tensor, raws.get(tensor.name, b""), shape)
    except ValueError as error:
        message = f"the inference server's {tensor.name} has an unexpected size"
        raise ContractMismatch(message) from error
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NotFinite(MESSAGES[NotFinite])
    return array


def _raise_merged(refusals: Sequence[InputTooLong | None]) -> None:
    """One error for the texts of all chunks, if there are any."""
    errors = [error for error in refusals if error is not None]
    if errors:
        overflows = {index: length for error in errors for index, length in error.overflows.items()}
        raise InputTooLong(errors[0].max_length, overflows)
