"""TritonEmbedder against a real gRPC server in this process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import chain, cycle, repeat
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.access.keys import Caller
from gateway.access.ledger import Entry, Ledger
from gateway.errors import (
    ContractMismatch,
    DimensionsNotSupported,
    InferenceFailed,
    InputTooLong,
    InvalidDimensions,
    ModelReplaced,
    NotFinite,
    Overloaded,
    TritonTimeout,
    TritonUnavailable,
    UpstreamError,
)
from gateway.inference.embedder import EmbeddingCall, Ensemble, State
from gateway.inference.rpc_errors import ERRORS_BY_CODE, MESSAGES
from gateway.inference.tensors import EMBEDDINGS
from gateway.inference.triton import TritonEmbedder
from gateway.telemetry.timeline import Timeline
from tests.fakes import (
    EDITION,
    ENSEMBLE,
    MODEL,
    PARAMETERS,
    STEP,
    FakeTriton,
    declare_ensemble,
    embed_raw,
    older,
    quantize,
    roomy_ledger,
    serve_triton,
    unpack_texts,
)

pytestmark = pytest.mark.anyio

# 40 texts of 1 to 40 words: several chunks, none in the order of the call.
MANY = tuple(f"{index} ".encode() * (index % 40 + 1) for index in range(7, 47))


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton()


@pytest.fixture
async def embedder(triton: FakeTriton) -> AsyncIterator[TritonEmbedder]:
    async with serve_triton(triton) as port:
        embedder = TritonEmbedder(f"127.0.0.1:{port}", chunk_tokens=256)
        yield embedder
        await embedder.close()


ANN, BEN = Caller(b"\x0a" * 32), Caller(b"\x0b" * 32)


def call_for(
    *texts: bytes, ledger: Ledger | None = None, caller: Caller = ANN, **changed: Any
) -> EmbeddingCall:
    estimates = [min(len(text) // 3 + 2, 512) for text in texts]
    entry = (ledger or roomy_ledger()).open(caller)
    fields: dict[str, Any] = {
        "model": MODEL,
        "ensemble": ENSEMBLE,
        "texts": texts,
        "token_estimates": estimates,
        "number_formats": ("float",),
        "dimensions": None,
        "normalized": True,
        "truncation": "end",
        "entry": entry,
        "timeline": Timeline("r1"),
    }
    return EmbeddingCall(**fields | changed)


async def test_one_chunk_is_one_rpc(embedder: TritonEmbedder, triton: FakeTriton) -> None:
    await embedder.embed(call_for(b"", "héllo\0".encode()))
    (request,) = triton.requests
    assert (request.model_name, request.id) == (ENSEMBLE, "r1")
    assert [b"", "héllo\0".encode()] == unpack_texts(request.raw_input_contents[0])
    assert [
        (tensor.name, tensor.datatype, list(tensor.shape)) for tensor in request.inputs[:2]
    ] == [("TEXT", "BYTES", [2]), ("TRUNCATION", "INT32", [1])]


async def test_options_travel_as_tensors(embedder: TritonEmbedder, triton: FakeTriton) -> None:
    await embedder.embed(call_for(b"x", truncation="start", dimensions=513, normalized=False))
    assert list(triton.requests[0].raw_input_contents[1:]) == [b"\1\0\0\0", b"\1\2\0\0", b"\0"]


async def test_only_the_outputs_wanted_are_named(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    await embedder.embed(call_for(b"x", number_formats=("int8", "ubinary")))
    names = [output.name for output in triton.requests[0].outputs]
    assert names == ["INT8", "UBINARY", "TOKEN_COUNT", "WIDTH"]


async def test_triton_is_told_which_formats_to_compute(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    await embedder.repository()
    await embedder.embed(call_for(b"x", number_formats=("int8", "ubinary")))
    request = triton.requests[-1]
    assert ("FORMATS", "INT32", [1]) == (
        request.inputs[-1].name,
        request.inputs[-1].datatype,
        list(request.inputs[-1].shape),
    )
    assert b"\x24\0\0\0" == request.raw_input_contents[-1]


async def test_a_repository_of_an_older_export_is_asked_as_before(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    triton.configs[ENSEMBLE] = older(declare_ensemble())
    (ensemble,) = (one for one in (await embedder.repository()).ensembles if one.name == ENSEMBLE)
    assert not ensemble.mismatch
    await embedder.probe(ENSEMBLE)
    await embedder.embed(call_for(*MANY))
    for request in triton.requests:
        assert ["TEXT", "TRUNCATION", "DIMENSIONS", "NORMALIZED"] == [
            tensor.name for tensor in request.inputs
        ]
        assert 4 == len(request.raw_input_contents)


async def test_a_model_is_replaced_by_an_older_export_and_back_and_no_call_fails(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    await embedder.repository()
    await wait_until(lambda: embedder.ready_tritons() == 1)
    triton.requests.clear()
    triton.configs[ENSEMBLE] = older(declare_ensemble())
    for _ in range(2):
        await embedder.embed(call_for(b"x", number_formats=("int8",)))
    assert [5, 4, 4] == [len(request.inputs) for request in triton.requests]  # refused once
    triton.configs[ENSEMBLE] = declare_ensemble()
    await embedder.embed(call_for(b"x", number_formats=("int8",)))
    await embedder.repository()
    await embedder.embed(call_for(b"x", number_formats=("int8",)))
    assert [4, 5] == [len(request.inputs) for request in triton.requests[-2:]]


async def test_a_request_that_is_refused_for_something_else_is_not_sent_again(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    await embedder.repository()
    triton.failure = grpc.StatusCode.INVALID_ARGUMENT, 'FORMATS_REFUSED {"formats": 64}'
    with pytest.raises(ContractMismatch):
        await embedder.embed(call_for(b"x"))
    assert 1 == len(triton.requests)


@pytest.mark.parametrize("dimensions", [1024, 13, 1])
async def test_every_number_format_comes_back_as_sent(
    embedder: TritonEmbedder, dimensions: int
) -> None:
    call = call_for(b"a", b"b c", dimensions=dimensions, number_formats=tuple(EMBEDDINGS))
    arrays = (await embedder.embed(call)).arrays
    reference = quantize(embed_raw([b"a", b"b c"]), dimensions, normalized=True)
    for name, array in arrays.items():
        assert (reference[name].dtype, reference[name].shape) == (array.dtype, array.shape)
        assert reference[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("native", [13, 2048])
async def test_the_answer_is_as_wide_as_what_came_back(
    embedder: TritonEmbedder, triton: FakeTriton, native: int
) -> None:
    triton.native = native
    for texts in ((b"a",), MANY):
        found = await embedder.embed(call_for(*texts, number_formats=("float", "ubinary")))
        reference = quantize(embed_raw(texts, native), native, normalized=True)
        assert (native, EDITION) == (found.dimensions, found.edition)
        assert reference["float"].tobytes() == found.arrays["float"].tobytes()
        assert reference["ubinary"].tobytes() == found.arrays["ubinary"].tobytes()


async def test_packed_formats_alone_say_how_wide_they_were(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    triton.native = 13
    found = await embedder.embed(call_for(b"a", number_formats=("ubinary",)))
    assert (13, (1, 2)) == (found.dimensions, found.arrays["ubinary"].shape)


async def test_other_dimensions_than_were_asked_for_are_refused(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    triton.replaced = {"WIDTH": np.array([14], np.int32), "UBINARY": np.zeros((1, 2), np.uint8)}
    with pytest.raises(ContractMismatch, match="14 dimensions"):
        await embedder.embed(call_for(b"a", number_formats=("ubinary",), dimensions=13))


@pytest.mark.parametrize("asked", [0, -1, 1025, 2**31, 2**53, -(2**53)])
@pytest.mark.parametrize("matryoshka", [True, False])
@pytest.mark.parametrize("texts", [(b"a",), MANY], ids=["one-chunk", "many"])
async def test_dimensions_out_of_range_are_refused_by_the_model(
    embedder: TritonEmbedder, triton: FakeTriton, asked: int, matryoshka: bool, texts: Any
) -> None:
    triton.matryoshka = matryoshka
    with pytest.raises(InvalidDimensions) as caught:
        await embedder.embed(call_for(*texts, dimensions=asked))
    assert {"dimensions": asked, "min": 1, "max": 1024} == caught.value.details


@pytest.mark.parametrize("asked", [1, 1023])
async def test_a_cut_that_the_model_was_not_trained_for_is_refused_by_it(
    embedder: TritonEmbedder, triton: FakeTriton, asked: int
) -> None:
    triton.matryoshka = False
    with pytest.raises(DimensionsNotSupported) as caught:
        await embedder.embed(call_for(b"a", dimensions=asked))
    assert {"model": MODEL, "dimensions": 1024} == caught.value.details
    assert 1024 == (await embedder.embed(call_for(b"a", dimensions=1024))).dimensions


async def test_a_probe_is_a_call_of_one_text(embedder: TritonEmbedder, triton: FakeTriton) -> None:
    await embedder.probe(ENSEMBLE)
    (request,) = triton.requests
    assert len(unpack_texts(request.raw_input_contents[0])) == 1
    triton.failure = grpc.StatusCode.UNAVAILABLE, "down"
    with pytest.raises(TritonUnavailable):
        await embedder.probe(ENSEMBLE)


class Timed(FakeTriton):
    """Notes how long the gateway waits for it, in seconds."""

    remaining: float = 0.0

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.remaining = context.time_remaining()
        return await super().ModelInfer(request, context)


async def test_what_triton_has_is_given_up_after_five_minutes() -> None:
    triton = Timed()
    async with serve_triton(triton) as port:
        embedder = TritonEmbedder(f"127.0.0.1:{port}")
        await embedder.embed(call_for(b"a"))
        await embedder.close()
    assert triton.remaining == pytest.approx(300, abs=10)


class Unsendable(Entry):
    """Fails whenever a chunk is sent, each time in other words."""

    def send(self, tokens: int) -> None:
        self.sent = getattr(self, "sent", 0) + 1
        raise RuntimeError(f"chunk {self.sent}")


async def test_of_chunks_that_fail_at_the_same_time_the_first_is_told(
    embedder: TritonEmbedder,
) -> None:
    call = call_for(*MANY)
    call = replace(call, entry=Unsendable(roomy_ledger(), call.entry.caller))
    with pytest.raises(RuntimeError, match=r"^chunk 1$"):
        await embedder.embed(call)
    assert isinstance(call.entry, Unsendable)
    assert call.entry.sent > 1


async def test_a_call_on_both_sides_of_a_new_edition_is_made_again(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    ledger = roomy_ledger()
    call = call_for(*MANY, ledger=ledger)
    triton.editions = chain(["7"], repeat("8"))
    found = await embedder.embed(call)
    assert "8" == found.edition
    reference = quantize(embed_raw(MANY), 1024, normalized=True)["float"]
    assert reference.tobytes() == found.arrays["float"].tobytes()
    call.entry.close()
    await wait_until(lambda: held(ledger) == (0, 0))


async def test_a_call_that_meets_a_new_edition_twice_is_told_to_come_back(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    ledger = roomy_ledger()
    call = call_for(*MANY, ledger=ledger)
    triton.editions = cycle(["7", "8"])
    with pytest.raises(ModelReplaced) as caught:
        await embedder.embed(call)
    assert (503, {"Retry-After": "2"}) == (caught.value.status, caught.value.headers)
    call.entry.close()
    await wait_until(lambda: held(ledger) == (0, 0))
    assert len(triton.requests) <= 2 * 8


class StuckInPart(FakeTriton):
    """Answers the last of four requests when it is let go."""

    def __init__(self, editions: Iterator[str]) -> None:
        super().__init__(editions=editions)
        self.let_go = asyncio.Event()
        self._arrived = 0

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self._arrived += 1
        if self._arrived == 4:
            await self.let_go.wait()
        return await super().ModelInfer(request, context)


async def test_a_repeated_call_that_has_no_room_is_told_to_come_back() -> None:
    """Triton still has a part of the first attempt, and that counts."""
    tokens = sum(call_for(*MANY).token_estimates)
    ledger = Ledger(max_bytes=10**9, max_tokens=tokens, small_tokens=512)
    triton = StuckInPart(chain(["7"], repeat("8")))
    async with serve_triton(triton) as port:
        embedder = TritonEmbedder(f"127.0.0.1:{port}", chunk_tokens=256)
        with pytest.raises(ModelReplaced):
            await embedder.embed(call_for(*MANY, ledger=ledger))
        triton.let_go.set()
        await wait_until(lambda: len(triton.requests) == 4)
        await embedder.close()
    assert 4 == len(triton.requests)


async def test_a_repeated_call_is_admitted_again(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    ledger = roomy_ledger()
    call = call_for(*MANY, ledger=ledger)
    triton.editions = chain(["7"], repeat("8"))
    triton.pause_seconds = 0.05
    task = asyncio.create_task(embedder.embed(call))
    seen = []
    while not task.done():
        seen.append(held(ledger))
        await asyncio.sleep(0.005)
    assert "8" == task.result().edition
    assert min(waiting for waiting, _ in seen) >= 0
    assert held(ledger) == (0, 0)


async def test_one_chunk_has_one_edition(embedder: TritonEmbedder, triton: FakeTriton) -> None:
    triton.editions = iter(["7", "8"])
    assert ["7", "8"] == [(await embedder.embed(call_for(b"x"))).edition for _ in range(2)]


async def test_chunks_are_joined_in_the_order_of_the_call(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    embeddings = await embedder.embed(call_for(*MANY))
    assert len(triton.requests) > 3
    reference = quantize(embed_raw(MANY), 1024, normalized=True)["float"]
    assert reference.tobytes() == embeddings.arrays["float"].tobytes()
    assert [len(text.split()) + 2 for text in MANY] == embeddings.token_counts.tolist()


async def test_a_model_that_takes_more_at_a_time_gets_it_in_larger_chunks(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    await embedder.embed(call_for(*MANY, micro_batch_tokens=128))
    on_a_cpu = len(triton.requests)
    await embedder.embed(call_for(*MANY, micro_batch_tokens=16_384))
    assert 1 == len(triton.requests) - on_a_cpu < on_a_cpu


async def test_256_texts_are_above_the_limit_of_grpc_and_pass() -> None:
    texts = tuple(f"{index}".encode() for index in range(256))
    async with serve_triton(FakeTriton()) as port:
        embedder = TritonEmbedder(f"127.0.0.1:{port}", chunk_tokens=10_000, chunk_texts=256)
        arrays = (await embedder.embed(call_for(*texts, number_formats=tuple(EMBEDDINGS)))).arrays
        await embedder.close()
    assert sum(array.nbytes for array in arrays.values()) > 2 * 1024 * 1024


async def test_texts_too_long_are_merged_over_all_chunks(embedder: TritonEmbedder) -> None:
    texts = [b"x " * 520 if index % 7 == 0 else b"x" for index in range(40)]
    with pytest.raises(InputTooLong) as caught:
        await embedder.embed(call_for(*texts, truncation="none"))
    expected = [{"index": index, "length": 522} for index in range(0, 40, 7)]
    assert {"max_length": 512, "overflows": expected} == caught.value.details


async def test_the_first_failing_chunk_ends_the_call(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    triton.failure = (grpc.StatusCode.INTERNAL, "it broke")
    triton.failing_text = MANY[-1]
    triton.pause_seconds = 30
    with pytest.raises(InferenceFailed) as caught:
        await embedder.embed(call_for(*MANY))
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    assert triton.cancelled == 0


async def wait_until(statement: Any) -> None:
    async with asyncio.timeout(3):
        while not statement():
            await asyncio.sleep(0.01)


def held(ledger: Ledger, caller: Caller = ANN) -> tuple[int, int]:
    """Tokens of a caller that wait, and that Triton has."""
    tokens = ledger.held_tokens()
    label = caller.key.hex()[:8]
    return tokens.get((label, "waiting"), 0), tokens.get((label, "triton"), 0)


async def leave(task: asyncio.Task[Any], call: EmbeddingCall) -> None:
    """What the gateway does when a caller hangs up."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    call.entry.close()


async def test_what_triton_has_of_a_caller_who_left_counts_until_it_has_answered(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    triton.pause_seconds = 0.2
    ledger = roomy_ledger()
    call = call_for(*[b"x" * 2000] * 9, ledger=ledger)
    task = asyncio.create_task(embedder.embed(call))
    await wait_until(lambda: len(triton.requests) == 4)  # 4 x 512 tokens are the window
    assert (5 * 512, 4 * 512) == held(ledger)
    await leave(task, call)
    assert (0, 4 * 512) == held(ledger)
    assert {("bulk",): 4 * 512, ("interactive",): 0} == embedder.triton_tokens()
    assert {("bulk",): 0, ("interactive",): 0} == embedder.waiting_tokens()
    await wait_until(lambda: held(ledger) == (0, 0))
    assert (4, 0) == (len(triton.requests), triton.cancelled)
    assert {("bulk",): 0, ("interactive",): 0} == embedder.triton_tokens()


async def test_callers_who_hang_up_leave_no_more_at_triton_than_the_window(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    triton.pause_seconds = 0.1
    ledger = roomy_ledger()
    for _ in range(50):
        call = call_for(*[b"bread " * 20] * 8, ledger=ledger)
        task = asyncio.create_task(embedder.embed(call))
        await asyncio.sleep(0.001)
        await leave(task, call)
    assert held(ledger)[0] == 0
    assert held(ledger)[1] <= 1024
    async with asyncio.timeout(2):
        await embedder.embed(call_for(b"hello", caller=BEN))


async def test_a_failing_call_leaves_nothing(embedder: TritonEmbedder, triton: FakeTriton) -> None:
    triton.failure = (grpc.StatusCode.INTERNAL, "it broke")
    ledger = roomy_ledger()
    call = call_for(*MANY, ledger=ledger)
    with pytest.raises(InferenceFailed):
        await embedder.embed(call)
    call.entry.close()
    await wait_until(lambda: held(ledger) == (0, 0))


async def test_what_the_tokenizer_found_is_charged(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    """ANN's texts have eight times the tokens that were guessed, so BEN goes first."""
    ledger = roomy_ledger()
    dense, plain = b"x " * 250, b"bread"
    await embedder.embed(call_for(*[dense] * 8, ledger=ledger, token_estimates=[31] * 8))
    lane = embedder.fleet.lanes[ENSEMBLE].interactive
    assert 8 * 252 == lane._keys._served[ANN.key]
    await embedder.embed(call_for(plain, ledger=ledger, caller=BEN, token_estimates=[100]))
    assert lane._keys._served[BEN.key] < 8 * 252


async def test_a_model_that_is_stuck_holds_up_no_other(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    triton.pause_seconds = 30
    stuck = [
        asyncio.create_task(embedder.embed(call_for(*[b"x" * 2000] * 9, ensemble="org--stuck")))
        for _ in range(2)
    ]
    await wait_until(lambda: len(triton.requests) == 4)
    triton.pause_seconds = 0
    async with asyncio.timeout(2):
        await embedder.embed(call_for(*[b"x" * 2000] * 9))
    for task in stuck:
        task.cancel()


async def test_nothing_is_left_running_by_an_embedder_that_is_closed(triton: FakeTriton) -> None:
    triton.pause_seconds = 30
    ledger = roomy_ledger()
    async with serve_triton(triton) as port:
        embedder = TritonEmbedder(f"127.0.0.1:{port}")
        call = call_for(b"x", ledger=ledger)
        task = asyncio.create_task(embedder.embed(call))
        await wait_until(lambda: triton.requests)
        await leave(task, call)
        await embedder.close()
        await wait_until(lambda: held(ledger) == (0, 0))


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
)
async def test_every_status_of_grpc_has_an_error(
    embedder: TritonEmbedder, triton: FakeTriton, code: grpc.StatusCode
) -> None:
    triton.failure = (code, "some text")
    with pytest.raises(UpstreamError) as caught:
        await embedder.embed(call_for(b"x"))
    assert ERRORS_BY_CODE[code] is type(caught.value)
    assert MESSAGES[type(caught.value)] == str(caught.value)
    assert isinstance(caught.value.__cause__, grpc.RpcError)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("UNAVAILABLE", "in ensemble 'e', [request id: r1] Exceeds maximum queue size", Overloaded),
        ("UNAVAILABLE", "in ensemble 'e', Request timeout expired", TritonTimeout),
        ("UNAVAILABLE", "Server is stopping, scheduler for model has stopped", TritonUnavailable),
        (
            "NOT_FOUND",
            "Request for unknown model: 'e' has no available versions",
            TritonUnavailable,
        ),
        ("INTERNAL", "Stub process 'encoder_0_0' is not healthy.", TritonUnavailable),
        ("INTERNAL", "in ensemble 'e', NOT_FINITE", NotFinite),
        ("INVALID_ARGUMENT", "unexpected shape for input 'TEXT'", ContractMismatch),
        ("INVALID_ARGUMENT", "INPUT_TOO_LONG nonsense", ContractMismatch),
        ("INVALID_ARGUMENT", 'INPUT_TOO_LONG {"max_length": 5}', ContractMismatch),
        ("INVALID_ARGUMENT", "DIMENSIONS_REFUSED nonsense", ContractMismatch),
        ("INVALID_ARGUMENT", 'DIMENSIONS_REFUSED {"native": 4}', ContractMismatch),
        (
            "INVALID_ARGUMENT",
            'DIMENSIONS_REFUSED {"native": 4, "matryoshka": true}',  # and nothing was asked for
            ContractMismatch,
        ),
        ("UNIMPLEMENTED", "failed to split the output tensor", ContractMismatch),
    ],
)
async def test_the_text_decides_where_the_code_does_not(
    embedder: TritonEmbedder, triton: FakeTriton, code: str, text: str, kind: type[UpstreamError]
) -> None:
    triton.failure = (grpc.StatusCode[code], text)
    with pytest.raises(UpstreamError) as caught:
        await embedder.embed(call_for(b"x"))
    assert kind is type(caught.value)


async def test_nobody_listening_is_unavailable() -> None:
    embedder = TritonEmbedder("127.0.0.1:1")
    for ask in (embedder.embed(call_for(b"x")), embedder.repository()):
        with pytest.raises(TritonUnavailable):
            await ask
    await embedder.close()


async def test_a_triton_that_comes_back_is_found_within_two_seconds(triton: FakeTriton) -> None:
    async with serve_triton(triton) as port:
        embedder = TritonEmbedder(f"127.0.0.1:{port}")
        await embedder.embed(call_for(b"x"))
    with pytest.raises(TritonUnavailable):
        await embedder.embed(call_for(b"x"))
    async with serve_triton(triton, port), asyncio.timeout(2):
        while not await is_served(embedder):
            await asyncio.sleep(0.05)
    await embedder.close()


async def is_served(embedder: TritonEmbedder) -> bool:
    try:
        await embedder.embed(call_for(b"x"))
    except TritonUnavailable:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "array", "kind"),
    [
        ("FLOAT", np.full((1, 1024), np.nan, dtype=np.float32), NotFinite),
        ("FLOAT", np.ones((1, 1023), dtype=np.float32), ContractMismatch),
        ("FLOAT", np.ones((1, 1024), dtype=np.float64), ContractMismatch),
        ("FLOAT", np.ones(7, dtype=np.int8), ContractMismatch),
        ("TOKEN_COUNT", np.ones(2, dtype=np.int32), ContractMismatch),
        ("WIDTH", np.array([1023], dtype=np.int32), ContractMismatch),
        ("WIDTH", np.array([0], dtype=np.int32), ContractMismatch),
        ("WIDTH", np.array([-1], dtype=np.int32), ContractMismatch),
        ("WIDTH", np.array([2**31 - 1], dtype=np.int32), ContractMismatch),
        ("WIDTH", np.array([], dtype=np.int32), ContractMismatch),
    ],
    ids=["nan", "too-small", "too-large", "odd", "count", "narrow", "0", "-1", "huge", "none"],
)
async def test_an_answer_of_another_shape_is_refused(
    embedder: TritonEmbedder, triton: FakeTriton, name: str, array: Any, kind: type[UpstreamError]
) -> None:
    triton.replaced = {name: array}
    with pytest.raises(kind):
        await embedder.embed(call_for(b"x"))


async def test_the_repository_tells_what_is_served(embedder: TritonEmbedder) -> None:
    repository = await embedder.repository()
    ours = Ensemble(ENSEMBLE, "ready", PARAMETERS, edition=EDITION, takes_formats=True)
    assert [ours, Ensemble(STEP, edition=EDITION)] == repository.ensembles


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ([("READY", "")], "ready"),
        ([("LOADING", "")], "loading"),
        ([("UNAVAILABLE", "it failed")], "loading"),
        ([("UNAVAILABLE", "")], "loading"),
        ([("UNLOADING", "")], "loading"),
        ([("UNAVAILABLE", "unloaded")], "unloaded"),
        ([("", "")], "idle"),
        ([("READY", ""), ("UNAVAILABLE", "it failed")], "ready"),
        ([("UNAVAILABLE", "unloaded"), ("READY", "")], "ready"),
        ([("UNAVAILABLE", "unloaded"), ("LOADING", "")], "loading"),
        ([("LOADING", ""), ("UNAVAILABLE", "unloaded")], "loading"),
        ([("", ""), ("UNAVAILABLE", "unloaded")], "unloaded"),
    ],
)
async def test_a_model_is_in_the_most_hopeful_state_of_its_versions(
    embedder: TritonEmbedder, triton: FakeTriton, entries: list[tuple[str, str]], state: State
) -> None:
    triton.states = [(ENSEMBLE, *entry) for entry in entries]
    (ensemble,) = (await embedder.repository()).ensembles
    assert (ENSEMBLE, state) == (ensemble.name, ensemble.state)


async def test_a_model_that_goes_between_two_questions_is_loading(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    triton.states = [("gone", "READY", ""), (ENSEMBLE, "READY", "")]
    found = (await embedder.repository()).ensembles
    assert [("gone", "loading"), (ENSEMBLE, "ready")] == [(e.name, e.state) for e in found]


async def test_an_ensemble_with_other_tensors_is_told_apart(
    embedder: TritonEmbedder, triton: FakeTriton
) -> None:
    config = declare_ensemble()
    config.output[0].name = "OTHER"
    triton.configs[ENSEMBLE] = config
    assert (await embedder.repository()).ensembles[0].mismatch == "output FLOAT is missing"
