"""Small calls of several callers as one request, against a real gRPC server in this process."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.errors import (
    ContractMismatch,
    InferenceFailed,
    InputTooLong,
    NotFinite,
    Overloaded,
    TritonTimeout,
    TritonUnavailable,
)
from gateway.inference import sharing
from gateway.inference.embedder import EmbeddingCall, Embeddings
from gateway.inference.parts import MOST_TEXTS
from gateway.inference.sharing import AT_ONCE, CHOICE_TOKENS
from gateway.inference.tensors import EMBEDDINGS
from gateway.inference.triton import TritonEmbedder
from gateway.inference.windows import Windows
from gateway.telemetry.timeline import Inference, Metadata, Timeline
from tests.fakes import (
    FakeTriton,
    embed_raw,
    quantize,
    roomy_ledger,
    serve_triton,
    unpack_texts,
)
from tests.gateway.inference.pairs import PROBE
from tests.gateway.inference.test_triton import ANN, BEN, call_for, held, leave, wait_until

pytestmark = pytest.mark.anyio

GPU_TOKENS = 16_384  # of a micro-batch
ROOMY = Windows(bulk=65_536, interactive=32_768)


ALL = 10_000
STARTED: list[asyncio.Task[Embeddings]] = []  # by one test


class Held(FakeTriton):
    """One that answers as many requests as it is let; `arrived` are the texts of each.

    Probes are none of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[list[bytes]] = []
        self._may_answer = asyncio.Semaphore(0)

    def let(self, number: int = ALL) -> None:
        for _ in range(number):
            self._may_answer.release()

    def hold(self) -> None:
        """From now on none."""
        self._may_answer = asyncio.Semaphore(0)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        texts = unpack_texts(request.raw_input_contents[0])
        if texts != [PROBE]:
            self.arrived.append(texts)
            await self._may_answer.acquire()
        return await super().ModelInfer(request, context)


@pytest.fixture
def triton() -> Held:
    return Held()


@pytest.fixture
async def embedder(triton: Held) -> AsyncIterator[TritonEmbedder]:
    async with serve_triton(triton) as port:
        embedder = TritonEmbedder(f"127.0.0.1:{port}", windows=ROOMY)
        yield embedder
        triton.let()
        await asyncio.gather(*STARTED, return_exceptions=True)
        STARTED.clear()
        await embedder.close()


def small(*texts: bytes, **changed: Any) -> EmbeddingCall:
    """A call of a model on a GPU."""
    return call_for(*texts, **{"micro_batch_tokens": GPU_TOKENS} | changed)


def start(embedder: TritonEmbedder, *calls: EmbeddingCall) -> list[asyncio.Task[Embeddings]]:
    tasks = [asyncio.create_task(embedder.embed(call)) for call in calls]
    STARTED.extend(tasks)
    return tasks


async def occupy(
    embedder: TritonEmbedder, triton: Held, **changed: Any
) -> list[asyncio.Task[Embeddings]]:
    """As many calls as are sent at once; what comes after them waits."""
    already = len(triton.arrived)
    tasks = start(embedder, *(small(b"first", **changed) for _ in range(AT_ONCE)))
    await wait_until(lambda: len(triton.arrived) == already + AT_ONCE)
    return tasks


async def all_wait(embedder: TritonEmbedder, number: int) -> None:
    """Until so many parts wait for company."""
    await wait_until(lambda: number == waiting(embedder))


async def ask_together(
    embedder: TritonEmbedder, triton: Held, *calls: EmbeddingCall, **occupying: Any
) -> list[Embeddings | BaseException]:
    """What becomes of calls that share a request.

    occupying  options of those that are on their way meanwhile
    """
    await occupy(embedder, triton, **occupying)
    rest = start(embedder, *calls)
    await all_wait(embedder, len(calls))
    triton.let()
    return await asyncio.gather(*rest, return_exceptions=True)


def waiting(embedder: TritonEmbedder) -> int:
    return sum(len(line.waiting) for line in embedder.fleet.sharing._lines.values())


def kinds(embedder: TritonEmbedder) -> dict[str, int]:
    return {kind: number for (_, kind), number in embedder.triton_requests().items()}


def is_right(found: Embeddings, *texts: bytes) -> bool:
    reference = quantize(embed_raw(texts), found.dimensions, normalized=True)
    counts = [len(text.split()) + 2 for text in texts]
    return found.token_counts.tolist() == counts and all(
        reference[name].tobytes() == array.tobytes() for name, array in found.arrays.items()
    )


async def test_who_finds_a_triton_free_is_sent_at_once_and_alone(
    embedder: TritonEmbedder, triton: Held
) -> None:
    await occupy(embedder, triton)
    assert [[b"first"]] * AT_ONCE == triton.arrived
    assert {"alone": AT_ONCE} == kinds(embedder)


async def test_what_comes_meanwhile_goes_together_when_one_is_answered(
    embedder: TritonEmbedder, triton: Held
) -> None:
    calls = [small(b"a"), small(b"b b", b"c"), small(b"d d d", caller=BEN)]
    found = await ask_together(embedder, triton, *calls)
    assert [[b"a", b"b b", b"c", b"d d d"]] == triton.arrived[AT_ONCE:]
    for one, call in zip(found, calls, strict=True):
        assert isinstance(one, Embeddings)
        assert is_right(one, *call.texts)
    assert {"alone": AT_ONCE, "shared": 1} == kinds(embedder)
    assert {} == embedder.fleet.sharing._lines


async def share(embedder: TritonEmbedder, triton: Held, number: int) -> None:
    """One request that so many share, and no other, is under way."""
    await occupy(embedder, triton)
    start(embedder, *(small(b"shared") for _ in range(number)))
    await all_wait(embedder, number)
    triton.let(AT_ONCE)
    await wait_until(lambda: AT_ONCE == len(triton.requests))
    await wait_until(lambda: [b"shared"] * number == triton.arrived[-1])


async def test_the_last_request_waits_until_it_is_as_big_as_the_others(
    embedder: TritonEmbedder, triton: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "COMPANY_SECONDS", 60.0)
    await share(embedder, triton, 3)
    start(embedder, small(b"a"), small(b"b"))
    await all_wait(embedder, 2)
    start(embedder, small(b"c"))
    await wait_until(lambda: [b"a", b"b", b"c"] == triton.arrived[-1])


async def test_the_last_request_waits_a_moment_at_most(
    embedder: TritonEmbedder, triton: Held
) -> None:
    await share(embedder, triton, 3)
    start(embedder, small(b"a"))
    await wait_until(lambda: [b"a"] == triton.arrived[-1])
    assert 2 + AT_ONCE == len(triton.arrived)  # that of the three is still under way


@pytest.mark.parametrize("dimensions", [None, 13])
async def test_every_number_format_is_cut_by_rows(
    embedder: TritonEmbedder, triton: Held, dimensions: int | None
) -> None:
    options: dict[str, Any] = {"number_formats": tuple(EMBEDDINGS), "dimensions": dimensions}
    calls = [small(f"{index}".encode(), b"x " * index, **options) for index in range(1, 4)]
    answers = await ask_together(embedder, triton, *calls, **options)
    for call, found in zip(calls, answers, strict=True):
        assert isinstance(found, Embeddings)
        assert set(EMBEDDINGS) == set(found.arrays)
        assert is_right(found, *call.texts)


@pytest.mark.parametrize(
    "changed",
    [
        {"dimensions": 13},
        {"normalized": False},
        {"truncation": "start"},
        {"number_formats": ("int8",)},
        {"ensemble": "org--other"},
    ],
)
async def test_other_options_are_another_request(
    embedder: TritonEmbedder, triton: Held, changed: dict[str, Any]
) -> None:
    await occupy(embedder, triton)
    start(embedder, small(b"a"), small(b"b", **changed))
    await wait_until(lambda: [b"b"] in triton.arrived)
    assert 1 == waiting(embedder)


async def test_chunks_of_bulk_do_not_share(embedder: TritonEmbedder, triton: Held) -> None:
    texts = [b"bread " * 20] * 40
    start(embedder, *(small(*texts) for _ in range(4)))
    await wait_until(lambda: 4 == len(triton.arrived))
    assert {"alone": 4} == kinds(embedder)


async def test_a_long_text_keeps_nobody_waiting(embedder: TritonEmbedder, triton: Held) -> None:
    start(embedder, *(small(b"x" * 900) for _ in range(4)))
    await wait_until(lambda: 4 == len(triton.arrived))
    await occupy(embedder, triton)  # they do not count


async def test_an_encoder_that_takes_little_at_a_time_has_more_to_choose_from(
    embedder: TritonEmbedder, triton: Held
) -> None:
    at_once = CHOICE_TOKENS // 128
    tasks = start(
        embedder, *(small(b"a" * 36, micro_batch_tokens=128) for _ in range(at_once + 12))
    )
    await all_wait(embedder, 12)
    await wait_until(lambda: at_once == len(triton.arrived))
    triton.let()
    await asyncio.gather(*tasks)
    sizes = [len(texts) for texts in triton.arrived[at_once:]]
    assert 12 == sum(sizes)
    assert max(sizes) <= 128 // 14 < 12  # a micro-batch, by the estimates


async def test_no_more_texts_share_than_are_allowed(embedder: TritonEmbedder, triton: Held) -> None:
    await occupy(embedder, triton)
    start(embedder, *(small(*[b""] * 100) for _ in range(3)))
    await all_wait(embedder, 3)
    triton.let()
    await wait_until(lambda: 4 == len(triton.requests))
    assert [200, 100] == [len(texts) for texts in triton.arrived[AT_ONCE:]]
    assert 200 <= MOST_TEXTS < 300


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("INTERNAL", "onnxruntime says no", InferenceFailed),
        ("INTERNAL", "in ensemble 'e', NOT_FINITE text 3", NotFinite),
        ("INVALID_ARGUMENT", "unexpected shape", ContractMismatch),
        ("INVALID_ARGUMENT", "DIMENSIONS_REFUSED nonsense", ContractMismatch),
        ("UNKNOWN", "", InferenceFailed),
    ],
)
async def test_a_text_that_fails_fails_its_own_call_only(
    embedder: TritonEmbedder, triton: Held, code: str, text: str, kind: type[Exception]
) -> None:
    triton.failure, triton.failing_text = (grpc.StatusCode[code], text), b"odd"
    calls = small(b"a"), small(b"odd", caller=BEN), small(b"b")
    one, odd, other = await ask_together(embedder, triton, *calls)
    assert isinstance(one, Embeddings)
    assert isinstance(other, Embeddings)
    assert is_right(one, b"a")
    assert is_right(other, b"b")
    assert kind is type(odd)
    assert {"alone": AT_ONCE, "shared": 1, "apart": 3} == kinds(embedder)


async def test_a_text_that_is_too_long_is_told_by_its_place_in_its_own_call(
    embedder: TritonEmbedder, triton: Held
) -> None:
    """Of 522 words that are guessed to be few tokens."""
    short = small(b"a", b"a", truncation="none")
    long = small(b"b", b"x " * 520, truncation="none", token_estimates=[2, 100])
    found, refused = await ask_together(embedder, triton, short, long, truncation="none")
    assert isinstance(found, Embeddings)
    assert is_right(found, b"a", b"a")
    assert isinstance(refused, InputTooLong)
    assert {1: 522} == refused.overflows


async def test_numbers_that_are_not_finite_are_those_of_one_call(
    embedder: TritonEmbedder, triton: Held
) -> None:
    """As an old quantize step would let them through."""
    await occupy(embedder, triton)
    rows = np.ones((2, 1024), dtype=np.float32)
    rows[1] = np.nan
    rest = start(embedder, small(b"a"), small(b"b"))
    await all_wait(embedder, 2)
    triton.let(1)
    await wait_until(lambda: [b"a", b"b"] in triton.arrived)
    triton.replaced = {"FLOAT": rows}
    triton.let()
    found, failed = await asyncio.gather(*rest, return_exceptions=True)
    assert isinstance(found, Embeddings)
    assert isinstance(failed, NotFinite)


async def test_who_spoiled_a_request_travels_alone_until_that_is_made_good(
    embedder: TritonEmbedder, triton: Held
) -> None:
    triton.failure, triton.failing_text = (grpc.StatusCode.INTERNAL, "no"), b"odd"
    triton.let()
    await spoil(embedder, triton)
    triton.hold()
    await occupy(embedder, triton)
    before = len(triton.arrived)
    ben = start(embedder, small(b"odd", caller=BEN))
    ann = start(embedder, small(b"fine"), small(b"fine too"))
    await wait_until(lambda: [[b"odd"]] == triton.arrived[before:])
    triton.let()
    assert [InferenceFailed] == [
        type(one) for one in await asyncio.gather(*ben, return_exceptions=True)
    ]
    await asyncio.gather(*ann)
    assert 3 == kinds(embedder)["apart"]  # those of the first time

    for _ in range(100):
        await embedder.embed(small(b"good", caller=BEN))
    assert not embedder.fleet.sharing._debts.owes(BEN)


async def spoil(embedder: TritonEmbedder, triton: Held) -> None:
    """A request that three share, and BEN's text fails."""
    triton.hold()
    await ask_together(embedder, triton, small(b"a"), small(b"odd", caller=BEN), small(b"b"))
    await asyncio.gather(*STARTED, return_exceptions=True)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("UNAVAILABLE", "Socket closed", TritonUnavailable),
        ("INTERNAL", "Stub process 'e_0_0' is not healthy.", TritonUnavailable),
        ("UNAVAILABLE", "Exceeds maximum queue size", Overloaded),
        ("DEADLINE_EXCEEDED", "", TritonTimeout),
    ],
)
async def test_what_says_nothing_of_the_texts_is_told_to_all(
    embedder: TritonEmbedder, triton: Held, code: str, text: str, kind: type[Exception]
) -> None:
    triton.failure, triton.failing_text = (grpc.StatusCode[code], text), b"last"
    calls = small(b"a"), small(b"last", caller=BEN)
    failed = await ask_together(embedder, triton, *calls)
    assert [kind, kind] == [type(one) for one in failed]
    assert {"alone": AT_ONCE, "shared": 1} == kinds(embedder)
    assert not embedder.fleet.sharing._debts.owes(BEN)


async def test_of_a_lost_triton_each_goes_its_own_way_to_another_one() -> None:
    lost, other = Held(), Held()
    async with serve_triton(lost) as one, serve_triton(other) as two:
        embedder = TritonEmbedder(f"127.0.0.1:{one},127.0.0.1:{two}", windows=ROOMY)
        await embedder.repository()
        await wait_until(lambda: embedder.ready_tritons() == 2)
        calls = [small(f"number {index}".encode()) for index in range(12)]
        tasks = start(embedder, *calls)
        await all_wait(embedder, 12 - 2 * AT_ONCE)
        lost.let(1)
        await wait_until(lambda: 4 in map(len, lost.arrived))
        (shared,) = [texts for texts in lost.arrived if len(texts) == 4]
        lost.failure = grpc.StatusCode.UNAVAILABLE, "Socket closed"
        lost.let()
        other.let()
        found = await asyncio.gather(*tasks)
        await embedder.close()
    assert all(is_right(each, *call.texts) for each, call in zip(found, calls, strict=True))
    # Nobody brings another one down with others.
    assert all([text] in other.arrived for text in shared)


async def test_who_leaves_while_he_waits_is_not_sent_and_holds_nothing(
    embedder: TritonEmbedder, triton: Held
) -> None:
    ledger = roomy_ledger()
    first = await occupy(embedder, triton)
    leaving = small(b"leaving", ledger=ledger)
    tasks = start(embedder, small(b"a"), leaving, small(b"b"))
    await all_wait(embedder, 3)
    taken = embedder.triton_tokens()[("interactive",)]
    await leave(tasks[1], leaving)
    await wait_until(lambda: held(ledger) == (0, 0))
    assert taken - leaving.token_estimates[0] == embedder.triton_tokens()[("interactive",)]
    triton.let()
    found = [await tasks[0], await tasks[2]]
    assert is_right(found[0], b"a")
    assert is_right(found[1], b"b")
    assert [[b"a", b"b"]] == triton.arrived[AT_ONCE:]
    assert [] == leaving.timeline.inferences
    await asyncio.gather(*first)


async def test_where_all_have_left_nothing_is_sent(embedder: TritonEmbedder, triton: Held) -> None:
    first = await occupy(embedder, triton)
    call = small(b"a")
    (task,) = start(embedder, call)
    await all_wait(embedder, 1)
    await leave(task, call)
    triton.let()
    await asyncio.gather(*first)
    await wait_until(lambda: not embedder.fleet.sharing._lines)
    assert AT_ONCE == len(triton.arrived)


async def test_who_leaves_when_he_is_under_way_takes_nobody_with_him(
    embedder: TritonEmbedder, triton: Held
) -> None:
    ledger = roomy_ledger()
    await occupy(embedder, triton)
    leaving = small(b"leaving", ledger=ledger)
    tasks = start(embedder, small(b"a"), leaving)
    await all_wait(embedder, 2)
    triton.let(1)
    await wait_until(lambda: [b"a", b"leaving"] in triton.arrived)
    await leave(tasks[1], leaving)
    assert (0, leaving.token_estimates[0]) == held(ledger)
    triton.let()
    assert is_right(await tasks[0], b"a")
    await wait_until(lambda: held(ledger) == (0, 0))
    assert 0 == triton.cancelled


async def test_who_has_left_is_not_asked_for_again(embedder: TritonEmbedder, triton: Held) -> None:
    triton.failure, triton.failing_text = (grpc.StatusCode.INTERNAL, "no"), b"odd"
    await occupy(embedder, triton)
    leaving = small(b"leaving")
    tasks = start(embedder, small(b"odd"), leaving)
    await all_wait(embedder, 2)
    triton.let(1)
    await wait_until(lambda: [b"odd", b"leaving"] in triton.arrived)
    await leave(tasks[1], leaving)
    triton.let()
    with pytest.raises(InferenceFailed):
        await tasks[0]
    await wait_until(lambda: not embedder.fleet.sharing._lines)
    assert 1 == kinds(embedder)["apart"]


async def test_nothing_of_who_waits_is_left_by_an_embedder_that_is_closed(triton: Held) -> None:
    ledger = roomy_ledger()
    async with serve_triton(triton) as port:
        embedder = TritonEmbedder(f"127.0.0.1:{port}", windows=ROOMY)
        await occupy(embedder, triton)
        tasks = start(embedder, *(small(b"a", ledger=ledger) for _ in range(3)))
        await all_wait(embedder, 3)
        await embedder.close()
        failed = await asyncio.gather(*tasks, return_exceptions=True)
        await wait_until(lambda: not embedder.fleet.sharing._lines)
    assert [TritonUnavailable] * 3 == [type(one) for one in failed]
    assert {("interactive",): 0, ("bulk",): 0} == embedder.triton_tokens()


async def test_a_channel_that_is_closed_is_told_to_all_who_share_a_request(
    embedder: TritonEmbedder, triton: Held
) -> None:
    await occupy(embedder, triton)
    tasks = start(embedder, small(b"a"), small(b"b"))
    await all_wait(embedder, 2)
    triton.let(1)
    await wait_until(lambda: [b"a", b"b"] in triton.arrived)
    (replica,) = embedder.fleet.replicas.values()
    await replica.close()
    failed = await asyncio.gather(*tasks, return_exceptions=True)
    assert [TritonUnavailable] * 2 == [type(one) for one in failed]


class Traced:
    """A trace that goes somewhere."""

    def __init__(self, id: str) -> None:
        self.id = id

    def infer(self, inference: Inference) -> Metadata | None:
        return (("traceparent", self.id),)

    def end(self, timeline: Timeline, route: str, status: int) -> None: ...


async def test_triton_goes_on_with_the_first_trace_and_each_timeline_has_its_own(
    embedder: TritonEmbedder, triton: Held
) -> None:
    await occupy(embedder, triton)
    timelines = [
        Timeline("r1"),
        Timeline("r2", trace=Traced("t2")),
        Timeline("r3", trace=Traced("t3")),
    ]
    texts = [b"a", b"b b b", b"c c"]
    calls = [small(text, timeline=line) for text, line in zip(texts, timelines, strict=True)]
    tasks = start(embedder, *calls)
    await all_wait(embedder, 3)
    waited = [line.ends[-1] for line in timelines]
    triton.let()
    await asyncio.gather(*tasks)
    (shared,) = [index for index, arrived in enumerate(triton.arrived) if arrived == texts]
    assert ("r1", "t2") == (triton.requests[shared].id, triton.metadata[shared]["traceparent"])
    for line, tokens, (stage, moment) in zip(timelines, [3, 5, 4], waited, strict=True):
        (inference,) = line.inferences
        assert (1, tokens, "") == (inference.texts, inference.tokens, inference.error)
        assert stage == line.ends[-1][0] == "queue"
        assert moment < inference.began <= line.ends[-1][1] < inference.ended  # it waited till then


async def test_whatever_happens_each_gets_what_is_his_and_nothing_is_left() -> None:
    """Callers who ask, fail and leave as they please."""
    chance = random.Random(1)  # noqa: S311 - of a test
    triton = FakeTriton(failure=(grpc.StatusCode.INTERNAL, "no"), failing_text=b"odd")
    ledger = roomy_ledger()
    answered = 0

    async def ask(embedder: TritonEmbedder, number: int) -> None:
        nonlocal answered
        text = b"odd" if chance.random() < 0.02 else f"text {number}".encode()
        options = {"dimensions": chance.choice([None, 8]), "caller": chance.choice([ANN, BEN])}
        call = small(text, ledger=ledger, **options)
        try:
            async with asyncio.timeout(chance.choice([0.01, 5])):
                found = await embedder.embed(call)
        except InferenceFailed:
            assert b"odd" == text
        except TimeoutError:
            pass
        else:
            assert is_right(found, text)
            answered += 1
        finally:
            call.entry.close()

    async with serve_triton(triton) as port:
        embedder = TritonEmbedder(f"127.0.0.1:{port}", windows=ROOMY)
        for start in range(0, 600, 60):
            triton.pause_seconds = chance.choice([0.0, 0.005])
            await asyncio.gather(*(ask(embedder, start + index) for index in range(60)))
        await wait_until(lambda: (held(ledger, ANN), held(ledger, BEN)) == ((0, 0), (0, 0)))
        await wait_until(lambda: not embedder.fleet.sharing._lines)
        assert {("interactive",): 0, ("bulk",): 0} == embedder.triton_tokens()
        assert kinds(embedder)["shared"] > 0
        await embedder.close()
    assert answered > 200


async def test_a_timer_ends_with_those_who_wait(
    embedder: TritonEmbedder, triton: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was set while they were about to leave, as by an answer of that moment."""
    monkeypatch.setattr(sharing, "COMPANY_SECONDS", 60.0)
    await share(embedder, triton, 3)
    start(embedder, small(b"a"), small(b"b"))
    await all_wait(embedder, 2)
    ((key, line),) = embedder.fleet.sharing._lines.items()
    assert line.timer is not None
    line.in_flight += 1
    triton.let()
    await embedder.fleet.sharing._travel(key, line)
    assert line.timer is None
    await wait_until(lambda: not embedder.fleet.sharing._lines)
