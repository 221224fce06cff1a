"""A Triton that is lost: what it had goes elsewhere, and how it comes back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from gateway.errors import (
    InferenceFailed,
    InputTooLong,
    Overloaded,
    TritonUnavailable,
)
from gateway.inference import mending
from tests.fakes import (
    ENSEMBLE,
    FakeTriton,
    roomy_ledger,
)
from tests.gateway.inference.pairs import Pair, calls_of, pair_of
from tests.gateway.inference.test_triton import ANN, MANY, call_for, held, wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with pair_of(FakeTriton(), FakeTriton()) as pair:
        yield pair


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits seconds for a test."""
    monkeypatch.setattr(mending, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(mending, "SUSPECT_SECONDS", 0.1)
    monkeypatch.setattr("gateway.inference.replica.LIVE_TIMEOUT_SECONDS", 0.5)


async def test_a_triton_that_ends_with_its_port_open_fails_no_call(pair: Pair) -> None:
    ending, other = pair.tritons
    ending.is_ending = True
    for _ in range(20):
        await pair.embed()
    assert (1, 20) == (calls_of(ending), calls_of(other))
    assert {("not_found", "sent"): 1} == pair.embedder.fleet.retries
    assert ["loading", "ready"] == pair.states()

    ending.is_ending, ending.states = False, []
    await pair.well()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("UNAVAILABLE", "Server is stopping, scheduler for model has stopped accepting"),
        ("UNAVAILABLE", "Socket closed"),
        ("CANCELLED", "cancelled"),
        ("INTERNAL", "Stub process 'encoder_0_0' is not healthy."),
    ],
)
async def test_what_one_triton_has_lost_another_one_does(pair: Pair, code: str, text: str) -> None:
    pair.tritons[0].failure = grpc.StatusCode[code], text
    await asyncio.gather(*(pair.embed(*MANY) for _ in range(4)))
    assert pair.embedder.fleet.retries[code.lower(), "sent"] >= 1
    lost = calls_of(pair.tritons[0])
    for _ in range(4):
        await pair.embed()
    assert lost == calls_of(pair.tritons[0])  # it was left
    pair.tritons[0].failure = None
    await pair.well()


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("UNAVAILABLE", "Exceeds maximum queue size", Overloaded),
        ("INTERNAL", "onnxruntime says no", InferenceFailed),
        ("INVALID_ARGUMENT", 'INPUT_TOO_LONG {"max_length": 1, "overflows": []}', InputTooLong),
    ],
)
async def test_what_another_triton_would_refuse_too_is_asked_once(
    pair: Pair, code: str, text: str, kind: type[Exception]
) -> None:
    for triton in pair.tritons:
        triton.failure = grpc.StatusCode[code], text
    with pytest.raises(kind):
        await pair.embed()
    assert 1 == sum(calls_of(triton) for triton in pair.tritons)


async def test_a_triton_that_fails_everything_at_once_does_not_get_all_the_work(
    pair: Pair,
) -> None:
    broken, other = pair.tritons
    broken.failure = grpc.StatusCode.INTERNAL, "CUDA error: an illegal memory access"
    with pytest.raises(InferenceFailed):
        await asyncio.gather(pair.embed(), pair.embed())
    await wait_until(lambda: pair.states() == ["loading", "ready"])
    for _ in range(4):
        await pair.embed()
    assert (1, 5) == (calls_of(broken), calls_of(other))
    broken.failure = None
    await pair.well()


async def test_a_text_that_fails_makes_no_triton_ill(pair: Pair) -> None:
    for triton in pair.tritons:
        triton.failure = grpc.StatusCode.INTERNAL, "onnxruntime says no"
        triton.failing_text = b"odd"
    probed = len(pair.tritons[0].requests)
    with pytest.raises(InferenceFailed):
        await pair.embed(b"odd")
    await wait_until(lambda: len(pair.tritons[0].requests) == probed + 2)  # the text, a probe
    for _ in range(4):
        await pair.embed()
    assert ["ready", "ready"] == pair.states()


async def test_a_chunk_that_nobody_takes_is_refused_at_once(pair: Pair) -> None:
    for triton in pair.tritons:
        triton.is_ending = True
    with pytest.raises(TritonUnavailable):
        await pair.embed()
    assert [1, 1] == [calls_of(triton) for triton in pair.tritons]


async def test_a_triton_that_lists_a_model_no_more_is_left_before_any_call(pair: Pair) -> None:
    pair.tritons[0].is_ending = True
    await pair.embedder.repository()
    assert ["loading", "ready"] == pair.states()
    for _ in range(3):
        await pair.embed()
    assert [0, 3] == [calls_of(triton) for triton in pair.tritons]


async def test_a_text_that_kills_tritons_does_not_kill_them_all() -> None:
    async with pair_of(*(FakeTriton() for _ in range(5))) as five:
        for triton in five.tritons:
            triton.failure = grpc.StatusCode.INTERNAL, "Stub process 'e_0_0' is not healthy."
            triton.failing_text = b"deadly"
        with pytest.raises(TritonUnavailable):
            await five.embed(b"deadly")
        assert 3 == sum(calls_of(triton) for triton in five.tritons)


async def test_what_a_triton_still_answers_while_it_ends_does_not_bring_it_back(
    pair: Pair,
) -> None:
    replica = pair.embedder.fleet.replicas[pair.addresses[0]]
    sent_at = pair.embedder.fleet.clock()
    replica.note_failure(ENSEMBLE, "fails: it ends", of_all=True)
    replica.note_answer(ENSEMBLE, "7", sent_at - 1)
    assert {} == replica.serving
    replica.note_answer(ENSEMBLE, "7", pair.embedder.fleet.clock() + 1)
    assert {ENSEMBLE: "7"} == replica.serving


async def test_what_was_retried_leaves_nothing_in_the_ledger(pair: Pair) -> None:
    ledger = roomy_ledger()
    pair.tritons[0].is_ending = True
    call = call_for(*MANY, ledger=ledger)
    pair.tritons[1].pause_seconds = 0.1
    running = asyncio.create_task(pair.embedder.embed(call))
    while not running.done():
        assert min(held(ledger, ANN)) >= 0
        assert sum(held(ledger, ANN)) <= sum(call.token_estimates)
        await asyncio.sleep(0.005)
    call.entry.close()
    await wait_until(lambda: held(ledger, ANN) == (0, 0))
    assert [0, 0] == [one.outstanding_tokens for one in pair.embedder.status()]


async def test_retries_have_a_budget(pair: Pair) -> None:
    pair.tritons[0].is_ending = True
    pair.embedder.fleet.budget.take = lambda tokens, window_tokens: False  # type: ignore[method-assign]
    with pytest.raises(TritonUnavailable):
        await asyncio.gather(pair.embed(), pair.embed())
    assert {("not_found", "refused"): 1} == pair.embedder.retries()


@pytest.mark.usefixtures("impatience")
async def test_what_a_stopped_triton_has_goes_to_another_one(pair: Pair) -> None:
    stopped = pair.tritons[0]
    await pair.embed()
    stopped.goes_on.clear()
    async with asyncio.timeout(3):
        await asyncio.gather(*(pair.embed() for _ in range(6)))
    assert ["silent", "ready"] == pair.states()
    assert {("silent", "sent")} == set(pair.embedder.fleet.retries)
    assert sum(one.outstanding_tokens for one in pair.embedder.status()) > 0  # counted still

    stopped.goes_on.set()
    await pair.well()
    await wait_until(lambda: [0, 0] == [one.outstanding_tokens for one in pair.embedder.status()])


@pytest.mark.usefixtures("impatience")
async def test_of_a_silent_triton_and_another_one_the_first_answer_wins(pair: Pair) -> None:
    stopped, slow = pair.tritons
    stopped.goes_on.clear()
    slow.pause_seconds = 30.0
    running = [asyncio.create_task(pair.embed(b"first")) for _ in range(2)]
    await wait_until(lambda: pair.embedder.retries().get(("silent", "sent")))
    await wait_until(lambda: calls_of(slow) == 2)
    stopped.goes_on.set()
    async with asyncio.timeout(3):
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    assert (1, 2) == (calls_of(stopped), calls_of(slow))
    for task in running:
        task.cancel()


@pytest.mark.usefixtures("impatience")
async def test_a_silent_triton_that_dies_does_not_fail_what_another_one_has(pair: Pair) -> None:
    stopped, slow = pair.tritons
    stopped.goes_on.clear()
    slow.pause_seconds = 0.5
    running = [asyncio.create_task(pair.embed(b"first")) for _ in range(2)]
    await wait_until(lambda: calls_of(slow) == 2)
    await pair.embedder.fleet.replicas[pair.addresses[0]].close()
    await asyncio.gather(*running)


class Slow(FakeTriton):
    """One that is too busy to list its models."""

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        if self.requests:
            await asyncio.sleep(60)
        return await super().RepositoryIndex(request, context)


@pytest.mark.usefixtures("impatience")
async def test_a_triton_whose_list_is_late_is_left_if_it_gives_no_sign_of_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pair_of(Slow(), FakeTriton()) as pair:
        monkeypatch.setattr("gateway.inference.replica.ASK_TIMEOUT_SECONDS", 0.1)
        for _ in range(3):
            await pair.embedder.repository()
        assert ["ready", "ready"] == pair.states()
        pair.tritons[0].goes_on.clear()  # and nobody asks it for anything else
        await pair.embedder.repository()
        await wait_until(lambda: pair.states() == ["silent", "ready"])


@pytest.mark.usefixtures("impatience")
async def test_nobody_waits_for_a_silent_triton_to_list_its_models(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.tritons[0].goes_on.clear()
    await asyncio.gather(*(pair.embed() for _ in range(2)))
    await wait_until(lambda: pair.states() == ["silent", "ready"])
    monkeypatch.setattr("gateway.inference.replica.ASK_TIMEOUT_SECONDS", 60.0)
    async with asyncio.timeout(3):
        repository = await pair.embedder.repository()
    assert ["ready"] == [one.state for one in repository.ensembles if one.name == ENSEMBLE]


@pytest.mark.usefixtures("impatience")
async def test_a_busy_triton_that_lives_is_not_left(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.inference.replica.LIVE_TIMEOUT_SECONDS", 30.0)
    for triton in pair.tritons:
        triton.pause_seconds = 0.6
    await asyncio.gather(*(pair.embed() for _ in range(4)))
    assert (["ready", "ready"], {}) == (pair.states(), pair.embedder.fleet.retries)
    assert [2, 2] == [calls_of(triton) for triton in pair.tritons]


@pytest.mark.usefixtures("impatience")
async def test_a_model_that_is_stuck_in_a_triton_that_lives_is_left(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "STUCK_SECONDS", 0.1)
    monkeypatch.setattr(mending, "PROBE_SECONDS", 0.5)
    stuck = pair.tritons[0]
    stuck.pause_seconds = 30.0
    async with asyncio.timeout(3):
        await asyncio.gather(*(pair.embed() for _ in range(4)))
    assert ["loading", "ready"] == pair.states()
    why = {one.address: one.why for one in pair.embedder.status()}[pair.addresses[0]]
    assert f"{ENSEMBLE} does not answer" == why
    assert {("silent", "sent")} == set(pair.embedder.retries())

    stuck.pause_seconds = 0.0
    await pair.well()
