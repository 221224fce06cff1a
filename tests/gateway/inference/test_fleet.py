"""Several Tritons, each a real gRPC server in this process with faults that the test chooses."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain, repeat

import grpc
import httpx
import pytest

from gateway import Settings, create_app
from gateway.errors import (
    InferenceFailed,
    InputTooLong,
    ModelReplaced,
    Overloaded,
    TritonUnavailable,
)
from gateway.inference import mending
from gateway.inference.triton import TritonEmbedder
from gateway.inference.windows import Windows
from tests.fakes import (
    ENSEMBLE,
    MODEL,
    NATIVE,
    FakeTriton,
    declare_ensemble,
    roomy_ledger,
    serve_triton,
    unpack_texts,
)
from tests.gateway.inference.test_triton import ANN, MANY, call_for, held, wait_until
from tests.gateway.telemetry.conftest import client_of

pytestmark = pytest.mark.anyio

PROBE = b"ready?"


def calls_of(triton: FakeTriton) -> int:
    """Requests that are no probes."""
    texts = [unpack_texts(request.raw_input_contents[0]) for request in triton.requests]
    return sum(text != [PROBE] for text in texts)


class Pair:
    """Two Tritons and the embedder before them, which knows that both are well."""

    def __init__(self, tritons: Sequence[FakeTriton], ports: Sequence[int]) -> None:
        self.tritons = tritons
        self.addresses = [f"127.0.0.1:{port}" for port in ports]
        self.embedder = TritonEmbedder(
            ",".join(self.addresses), chunk_tokens=256, windows=Windows(1024, 512, 64)
        )

    def states(self) -> list[str]:
        by_address = {one.address: one.state for one in self.embedder.status()}
        return [by_address[address] for address in self.addresses]

    async def well(self) -> None:
        await wait_until(lambda: set(self.states()) == {"ready"})

    async def embed(self, *texts: bytes) -> None:
        await self.embedder.embed(call_for(*texts or (b"x",)))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    tritons = FakeTriton(), FakeTriton()
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serve_triton(triton)) for triton in tritons]
        pair = Pair(tritons, ports)
        await pair.embedder.repository()
        await pair.well()
        yield pair
        for triton in tritons:
            triton.goes_on.set()
        await pair.embedder.close()


async def test_work_goes_to_the_triton_that_has_the_least_to_do(pair: Pair) -> None:
    for triton in pair.tritons:
        triton.pause_seconds = 0.2
    await asyncio.gather(*(pair.embed(b"x" * 60) for _ in range(8)))
    assert [4, 4] == [calls_of(triton) for triton in pair.tritons]


async def test_of_two_that_are_idle_each_has_its_turn(pair: Pair) -> None:
    for _ in range(6):
        await pair.embed()
    assert [3, 3] == [calls_of(triton) for triton in pair.tritons]


async def test_what_is_let_in_grows_with_the_tritons(pair: Pair) -> None:
    """9 chunks of 256 tokens: four at each, the last waits in one queue before both."""
    for triton in pair.tritons:
        triton.pause_seconds = 0.2
    running = asyncio.create_task(pair.embed(*[b"x" * 762] * 9))
    await wait_until(lambda: pair.embedder.waiting_tokens()[("bulk",)] > 0)
    await wait_until(lambda: [4, 4] == [calls_of(triton) for triton in pair.tritons])
    assert 8 * 256 == pair.embedder.triton_tokens()[("bulk",)]
    assert [1024, 1024] == [one.outstanding_tokens for one in pair.embedder.status()]
    await running
    assert 9 == sum(calls_of(triton) for triton in pair.tritons)


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


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits seconds for a test."""
    monkeypatch.setattr(mending, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(mending, "SUSPECT_SECONDS", 0.05)
    monkeypatch.setattr("gateway.inference.replica.LIVE_TIMEOUT_SECONDS", 0.1)


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
async def test_a_busy_triton_that_lives_is_not_left(pair: Pair) -> None:
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
    monkeypatch.setattr(mending, "PROBE_SECONDS", 0.1)
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


async def test_one_of_two_that_ends_makes_no_gateway_unready(pair: Pair) -> None:
    """Today's trouble: four questions, each to another Triton, and all must be answered."""
    app = create_app(Settings(auth="off"), pair.embedder)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
    ):
        await app.state.gateway.readiness.look()
        pair.tritons[1].is_ending = True
        for _ in range(12):
            body = {"model": MODEL, "input": "a b"}
            assert 200 == (await client.post("/v1/embeddings", json=body)).status_code
            assert 200 == (await client.get("/health/ready")).status_code
            told = (await client.get("/health/ready")).json().get("tritons", {})
            await asyncio.sleep(0.05)
        metrics = (await client.get("/metrics")).text
    assert {pair.addresses[1]} == set(told)
    assert "mixedbread-ai--mxbai-embed-large-v1 is not ready" in told[pair.addresses[1]]
    for address, up in zip(pair.addresses, ("1.0", "0.0"), strict=True):
        assert f'gateway_triton_up{{triton="{address}"}} {up}' in metrics
    assert f'gateway_capacity_tokens{{lane="bulk",model="{MODEL}"}} 1024.0' in metrics
    assert not pair.embedder.is_busy(ENSEMBLE)


async def test_capacity_left_is_what_would_be_handed_out(pair: Pair) -> None:
    assert {(MODEL, "bulk"): 2048, (MODEL, "interactive"): 1024} == pair.embedder.capacity_tokens()
    for triton in pair.tritons:
        triton.pause_seconds = 0.2
    running = asyncio.create_task(pair.embed(b"x" * 150))  # 52 estimated tokens
    await wait_until(lambda: pair.embedder.capacity_tokens()[MODEL, "interactive"] == 1024 - 52)
    await running
    pair.tritons[0].is_ending = True
    await pair.embed()
    await pair.embed()
    assert {(MODEL, "bulk"): 1024, (MODEL, "interactive"): 512} == pair.embedder.capacity_tokens()
    assert 1 == pair.embedder.ready_tritons()


def of_edition(edition: str, revision: str, **changed: str) -> FakeTriton:
    """A Triton whose model is another one, by its edition, revision and parameters."""
    config = declare_ensemble(revision=revision, **changed)
    native = int(changed.get("dimensions", NATIVE))
    return FakeTriton({ENSEMBLE: config}, edition=edition, native=native)


@asynccontextmanager
async def pair_of(*tritons: FakeTriton) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serve_triton(triton)) for triton in tritons]
        pair = Pair(tritons, ports)
        await pair.embedder.repository()
        await pair.well()
        yield pair
        await pair.embedder.close()


async def test_a_call_is_of_one_edition_while_tritons_serve_two() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("8", "bbb", dimensions="512")) as pair:
        for edition, dimensions in (("7", 1024), ("8", 512)):
            found = await pair.embedder.embed(call_for(*MANY, edition=edition))
            assert (edition, dimensions) == (found.edition, found.dimensions)
        for _ in range(5):  # of a caller who does not mind, each call is of one
            await pair.embedder.embed(call_for(*MANY))
        repository = await pair.embedder.repository()
    listed = [(one.edition, one.parameters["revision"]) for one in repository.ensembles]
    assert [("7", "aaa"), ("8", "bbb")] == listed


async def test_a_call_of_an_edition_that_is_gone_gets_the_other() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("8", "bbb")) as pair:
        pair.tritons[0].is_ending = True
        found = await pair.embedder.embed(call_for(*MANY, edition="7"))
        assert "8" == found.edition


async def test_texts_with_the_prompt_of_one_edition_are_not_given_to_another() -> None:
    prompted = {"prompts": '{"q": "query: "}', "default_prompt_name": "q"}
    async with pair_of(of_edition("7", "aaa"), of_edition("8", "bbb", **prompted)) as pair:
        pair.tritons[0].is_ending = True
        with pytest.raises(ModelReplaced):
            await pair.embedder.embed(call_for(b"x", edition="7"))


async def test_a_model_that_is_replaced_on_one_triton_after_the_other_fails_no_call() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("7", "aaa")) as pair:
        for triton in pair.tritons:
            running = [
                asyncio.create_task(pair.embedder.embed(call_for(*MANY, edition="7")))
                for _ in range(4)
            ]
            await wait_until(lambda triton=triton: calls_of(triton) > 2)
            triton.edition = "8"
            triton.requests.clear()
            await asyncio.gather(*running)
        assert "8" == (await pair.embedder.embed(call_for(*MANY, edition="7"))).edition


async def test_the_answer_names_the_revision_that_gave_it() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("255", "bbb")) as pair:
        app = create_app(Settings(auth="off", revision_shares=f"{MODEL}=bbb:1"), pair.embedder)
        async with client_of(app) as client:
            body = {"model": MODEL, "input": "a b"}
            answer = await client.post("/v1/embeddings", json=body)
            (model,) = (await client.get("/v1/models")).json()["data"]
    assert "bbb" == answer.headers["x-model-revision"] == model["revision"]
    assert "0000000000ff" == answer.headers["x-model-edition"] == model["edition"]
    told = [(one["revision"], one["edition"], one["share"]) for one in model["revisions"]]
    assert [("bbb", "0000000000ff", 1.0), ("aaa", "000000000007", 0.0)] == sorted(told)[::-1]


async def test_what_waits_goes_to_a_triton_that_comes_back(pair: Pair) -> None:
    back, slow = pair.tritons
    back.is_ending = True
    await pair.embedder.repository()
    slow.pause_seconds = 30.0
    running = asyncio.create_task(pair.embed(*[b"x" * 762] * 9))  # of 1024 tokens at a time
    await wait_until(lambda: calls_of(slow) == 4)
    back.is_ending, back.states = False, []
    await wait_until(lambda: calls_of(back) == 5)
    running.cancel()


async def test_both_tritons_may_be_replaced_during_one_call() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("7", "aaa")) as pair:
        first, second = pair.tritons
        first.editions = chain(["7"], repeat("8"))
        second.editions = chain(["7"] * 3, repeat("8"))  # into the second attempt
        found = await pair.embedder.embed(call_for(*MANY, edition="7"))
    assert "8" == found.edition
