"""CachingEmbedder: what it asks for, and that nobody can tell from the numbers that it is there."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gateway.access.keys import Caller
from gateway.access.ledger import Ledger
from gateway.caching.digests import Digests
from gateway.caching.embedder import CachingEmbedder
from gateway.caching.store import MemoryStore, Store
from gateway.errors import InputTooLong, ModelReplaced, Overloaded, TritonUnavailable
from gateway.inference.embedder import EmbeddingCall, Embeddings
from gateway.telemetry.metrics import Metrics
from tests.fakes import ENSEMBLE, MODEL, FakeEmbedder, roomy_ledger

pytestmark = pytest.mark.anyio

ANN, BEN = Caller(b"\x0a" * 32), Caller(b"\x0b" * 32)


@dataclass
class Triton(FakeEmbedder):
    """A model that is replaced by others, each of which gives other numbers.

    edition  that answers now
    gate     closed, no call comes to its end
    """

    edition: str = "1"
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def embed(self, call: EmbeddingCall) -> Embeddings:
        edition = self.edition
        embeddings = await super().embed(call)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure:
            raise self.failure
        shift = int(edition) - 1
        arrays = {
            name: array + array.dtype.type(shift) for name, array in embeddings.arrays.items()
        }
        return replace(embeddings, arrays=arrays, edition=edition)

    def texts(self) -> list[list[bytes]]:
        """Those of each call."""
        return [list(call.texts) for call in self.calls]


@pytest.fixture
def triton() -> Triton:
    return Triton()


def make_metrics() -> Metrics:
    return Metrics(held_bytes=dict, held_tokens=dict, waiting_tokens=dict, triton_tokens=dict)


@pytest.fixture
def metrics() -> Metrics:
    return make_metrics()


def cache_of(triton: Triton, metrics: Metrics | None = None, **chosen: Any) -> CachingEmbedder:
    digests = Digests(b"secret", is_shared=chosen.get("is_shared", False))
    store = chosen.get("store") or MemoryStore(2**30)
    return CachingEmbedder(triton, store, digests, metrics or make_metrics())


@pytest.fixture
def cache(triton: Triton, metrics: Metrics) -> CachingEmbedder:
    return cache_of(triton, metrics)


def call_for(
    *texts: str, caller: Caller = ANN, ledger: Ledger | None = None, **changed: Any
) -> EmbeddingCall:
    fields: dict[str, Any] = {
        "model": MODEL,
        "ensemble": ENSEMBLE,
        "texts": [text.encode() for text in texts],
        "token_estimates": [len(text.split()) + 2 for text in texts],
        "number_formats": ("float",),
        "dimensions": None,
        "normalized": True,
        "truncation": "end",
        "edition": "1",
        "entry": (ledger or roomy_ledger()).open(caller),
    }
    return EmbeddingCall(**fields | changed)


def assert_same(expected: Embeddings, found: Embeddings) -> None:
    """To the bit, and in what the encoder is told of them."""
    assert (expected.dimensions, expected.edition) == (found.dimensions, found.edition)
    assert expected.token_counts.tobytes() == found.token_counts.tobytes()
    assert list(expected.arrays) == list(found.arrays)
    for name, array in expected.arrays.items():
        kept = found.arrays[name]
        assert (array.dtype, array.shape, array.tobytes()) == (
            kept.dtype,
            kept.shape,
            kept.tobytes(),
        )
        assert kept.flags.c_contiguous
        assert kept.flags.aligned


def values(metrics: Metrics) -> tuple[float, float]:
    return (
        metrics.cache_hits(MODEL)._value.get(),
        metrics.cache_misses(MODEL)._value.get(),
    )


async def until(statement: Callable[[], object]) -> None:
    async with asyncio.timeout(3):
        while not statement():
            await asyncio.sleep(0)


ALL = ("float", "float16", "int8", "uint8", "binary", "ubinary")


@pytest.mark.parametrize("texts", [("a b",), ("a b", "", "c")], ids=["one", "three"])
@pytest.mark.parametrize("dimensions", [None, 64, 13, 1])
@pytest.mark.parametrize("formats", [ALL, ALL[::-1]], ids=["floats-first", "bits-first"])
async def test_what_is_kept_is_what_was_computed(
    cache: CachingEmbedder,
    triton: Triton,
    texts: tuple[str, ...],
    dimensions: int | None,
    formats: tuple[str, ...],
) -> None:
    options: dict[str, Any] = {"number_formats": formats, "dimensions": dimensions}
    expected = await triton.embed(call_for(*texts, **options, normalized=False))
    assert_same(expected, await cache.embed(call_for(*texts, **options, normalized=False)))
    asked = len(triton.calls)
    assert_same(expected, await cache.embed(call_for(*texts, **options, normalized=False)))
    assert asked == len(triton.calls)


async def test_only_what_is_not_known_is_asked_for(
    cache: CachingEmbedder, triton: Triton, metrics: Metrics
) -> None:
    await cache.embed(call_for("a", "b"))
    found = await cache.embed(call_for("c", "b", "d", "c", "a"))
    assert [[b"a", b"b"], [b"c", b"d"]] == triton.texts()
    assert [3, 3] == list(triton.calls[1].token_estimates)
    assert_same(await triton.embed(call_for("c", "b", "d", "c", "a")), found)
    assert not found.is_cached
    assert (3, 4) == values(metrics)
    assert (await cache.embed(call_for("a", "d"))).is_cached


@pytest.mark.parametrize(
    "changed",
    [
        {"dimensions": 64},
        {"normalized": False},
        {"truncation": "start"},
        {"number_formats": ("int8",)},
        {"number_formats": ("float", "int8")},
        {"caller": BEN},
    ],
    ids=str,
)
async def test_whatever_the_numbers_depend_on_tells_records_apart(
    cache: CachingEmbedder, triton: Triton, changed: dict[str, Any]
) -> None:
    await cache.embed(call_for("a"))
    found = await cache.embed(call_for("a", **changed))
    assert len(triton.calls) == 2
    assert_same(await triton.embed(call_for("a", **changed)), found)


async def test_keys_may_share(triton: Triton) -> None:
    cache = cache_of(triton, is_shared=True)
    await cache.embed(call_for("a"))
    await cache.embed(call_for("a", caller=BEN))
    assert [[b"a"]] == triton.texts()


async def test_calls_of_one_moment_compute_a_text_once(
    cache: CachingEmbedder, triton: Triton, metrics: Metrics
) -> None:
    triton.gate.clear()
    calls = [call_for("a", "b"), call_for("b", "c"), call_for("c", "a"), call_for("a")]
    answers = [asyncio.create_task(cache.embed(call)) for call in calls]
    await until(lambda: len(triton.calls) == 2)
    triton.gate.set()
    found = await asyncio.gather(*answers)
    assert [[b"a", b"b"], [b"c"]] == triton.texts()
    for call, embeddings in zip(calls, found, strict=True):
        assert_same(await triton.embed(call), embeddings)
    assert (4, 3) == values(metrics)


async def test_a_call_that_is_cancelled_takes_nobody_with_it(
    cache: CachingEmbedder, triton: Triton
) -> None:
    triton.gate.clear()
    first, second, third = (asyncio.create_task(cache.embed(call_for("a"))) for _ in range(3))
    await until(lambda: len(triton.calls) == 1)
    second.cancel()
    await asyncio.wait([second])
    first.cancel()
    await until(lambda: len(triton.calls) == 2)
    triton.gate.set()
    assert_same(await triton.embed(call_for("a")), await third)
    assert (triton.cancelled, first.cancelled(), second.cancelled()) == (1, True, True)


async def test_a_failure_is_of_its_own_call_and_is_not_kept(
    cache: CachingEmbedder, triton: Triton
) -> None:
    triton.gate.clear()
    triton.failure = None
    first, second = (asyncio.create_task(cache.embed(call_for("a"))) for _ in range(2))
    await until(lambda: triton.calls)
    triton.failure = TritonUnavailable("away")
    triton.gate.set()
    for answer in (first, second):
        with pytest.raises(TritonUnavailable):
            await answer
    triton.failure = None
    assert_same(await triton.embed(call_for("a")), await cache.embed(call_for("a")))


async def test_what_is_known_needs_no_room(cache: CachingEmbedder) -> None:
    await cache.embed(call_for("a", "b"))
    full = Ledger(max_bytes=2**30, max_tokens=4, small_tokens=512)
    full.open(BEN).admit(4)
    await cache.embed(call_for("b", "a", ledger=full))
    with pytest.raises(Overloaded):
        await cache.embed(call_for("b", "c", ledger=full))


async def test_a_replaced_model_is_never_answered_from_the_cache(
    cache: CachingEmbedder, triton: Triton
) -> None:
    await cache.embed(call_for("a", "b"))
    triton.edition = "2"
    found = await cache.embed(call_for("a", "b", edition="2"))
    assert found.edition == "2"
    assert_same(await triton.embed(call_for("a", "b")), found)


async def test_an_answer_has_one_edition_also_before_the_new_one_is_known(
    cache: CachingEmbedder, triton: Triton
) -> None:
    await cache.embed(call_for("a", "b"))
    triton.edition = "2"
    found = await cache.embed(call_for("a", "c", "b"))
    assert found.edition == "2"
    assert_same(await triton.embed(call_for("a", "c", "b")), found)


async def test_what_an_old_edition_computes_for_others_does_not_go_into_a_new_answer(
    cache: CachingEmbedder, triton: Triton
) -> None:
    triton.gate.clear()
    old = asyncio.create_task(cache.embed(call_for("a")))
    await until(lambda: len(triton.calls) == 1)
    triton.edition = "2"
    new = asyncio.create_task(cache.embed(call_for("a", "b")))
    await until(lambda: len(triton.calls) == 2)
    triton.gate.set()
    assert ("1", "2") == ((await old).edition, (await new).edition)
    assert [[b"a"], [b"b"], [b"a"]] == triton.texts()
    assert_same(await triton.embed(call_for("a", "b")), await new)


async def test_editions_that_change_all_the_time_end_the_call(
    cache: CachingEmbedder, triton: Triton, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def embed(call: EmbeddingCall) -> Embeddings:
        triton.edition = str(int(triton.edition) + 1)
        return await Triton.embed(triton, call)

    await cache.embed(call_for("a"))
    monkeypatch.setattr(triton, "embed", embed)  # as no Triton does
    with pytest.raises(ModelReplaced):
        await cache.embed(call_for("a", "b"))


async def test_of_several_editions_each_call_names_its_own(
    cache: CachingEmbedder, triton: Triton
) -> None:
    for edition in ("1", "2"):
        triton.edition = edition
        await cache.embed(call_for("a", edition=edition))
    asked = len(triton.calls)
    for edition in ("1", "2"):
        assert (await cache.embed(call_for("a", edition=edition))).edition == edition
    assert asked == len(triton.calls)


async def test_without_a_known_edition_everything_is_computed(cache: CachingEmbedder) -> None:
    for _ in range(2):
        assert not (await cache.embed(call_for("a", edition=""))).is_cached


async def test_every_text_that_is_too_long_is_named_where_it_stands(
    cache: CachingEmbedder, triton: Triton
) -> None:
    long, longer = "w " * 600, "w " * 700
    await cache.embed(call_for("a", truncation="none"))
    triton.gate.clear()
    waiting = asyncio.create_task(cache.embed(call_for(long, truncation="none")))
    await until(lambda: cache._flights)
    with pytest.raises(InputTooLong) as caught:
        await cache.embed(call_for(long, "a", longer, long, truncation="none"))
    assert {0: 602, 2: 702, 3: 602} == caught.value.overflows
    with pytest.raises(InputTooLong):
        await waiting


class Interleaving:
    """Calls of several callers at random moments, some of which are cancelled, while the model is
    replaced now and then and the cache forgets."""

    POOL = ("a", "b", "c d", "e", "", "f g h", "ä", "w " * 600)

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - payloads, not secrets
        self.triton = Triton()
        self.plain = Triton()
        self.known = "1"
        self.answers = 0

    def call(self) -> EmbeddingCall:
        chosen = self.rng.choice
        return call_for(
            *(chosen(self.POOL) for _ in range(self.rng.randrange(1, 6))),
            caller=chosen([ANN, BEN]),
            number_formats=chosen([("float",), ("int8", "float"), ("ubinary",)]),
            dimensions=chosen([None, 64, 13]),
            normalized=chosen([True, False]),
            truncation=chosen(["end", "end", "start"]),
            edition=self.known,
        )

    async def pause(self) -> None:
        for _ in range(self.rng.randrange(6)):
            await asyncio.sleep(0)

    async def ask(self, cache: CachingEmbedder) -> None:
        await self.pause()
        call = self.call()
        answer = asyncio.create_task(cache.embed(call))
        if self.rng.random() < 0.2:
            await self.pause()
            answer.cancel()
            await asyncio.wait([answer])
        if answer.cancelled():
            return
        try:
            found = await answer
        except ModelReplaced:  # as often as it is here, while a slow store was asked
            return
        self.plain.edition = found.edition
        assert_same(await self.plain.embed(call), found)
        self.answers += 1

    async def turn(self) -> None:
        """Opens and closes the gate, changes the edition and makes it known."""
        for _ in range(60):
            await self.pause()
            self.triton.gate.clear()
            if self.rng.random() < 0.1:
                self.triton.edition = self.rng.choice(["1", "2"])
            await self.pause()
            self.triton.gate.set()
            if self.rng.random() < 0.3:
                self.known = self.triton.edition

    async def run(self, store: Store | None = None) -> int:
        """Answers that were compared."""
        cache = cache_of(
            self.triton, store=store or MemoryStore(40_000), is_shared=self.rng.random() < 0.5
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self.turn())
            for _ in range(60):
                group.create_task(self.ask(cache))
        assert not cache._flights
        return self.answers


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_the_bytes_are_those_of_no_cache(seed: int) -> None:
    assert 30 < await Interleaving(seed).run()
