"""Several Tritons: which of them gets what, and what they do together."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway import Settings, create_app
from tests.fakes import (
    ENSEMBLE,
    MODEL,
    FakeTriton,
)
from tests.gateway.inference.pairs import Pair, calls_of, pair_of
from tests.gateway.inference.test_triton import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with pair_of(FakeTriton(), FakeTriton()) as pair:
        yield pair


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
        triton.pause_seconds = 30.0
    running = asyncio.create_task(pair.embed(*[b"x" * 762] * 9))
    await wait_until(lambda: [4, 4] == [calls_of(triton) for triton in pair.tritons])
    assert 256 == pair.embedder.waiting_tokens()[("bulk",)]
    assert 8 * 256 == pair.embedder.triton_tokens()[("bulk",)]
    assert [1024, 1024] == [one.outstanding_tokens for one in pair.embedder.status()]
    running.cancel()


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
    pair.tritons[0].is_ending = True
    await pair.embed()
    await pair.embed()
    assert {(MODEL, "bulk"): 1024, (MODEL, "interactive"): 512} == pair.embedder.capacity_tokens()
    assert 1 == pair.embedder.ready_tritons()
    pair.tritons[1].pause_seconds = 30.0
    running = asyncio.create_task(pair.embed(b"x" * 150))  # 52 estimated tokens
    await wait_until(lambda: pair.embedder.capacity_tokens()[MODEL, "interactive"] == 512 - 52)
    running.cancel()


async def test_tokens_count_once_a_triton_has_answered(pair: Pair) -> None:
    """A model that nobody asked for counts nothing, which is not the same as no model."""
    await pair.embedder.repository()
    await wait_until(lambda: pair.embedder.ready_tritons() == 2)
    assert {(MODEL,): 0} == pair.embedder.embedded_tokens()
    await pair.embed(b"two words", b"one")  # and two special tokens each
    assert {(MODEL,): 7} == pair.embedder.embedded_tokens()
    pair.tritons[0].is_ending = pair.tritons[1].is_ending = True
    await pair.embedder.repository()
    assert {(MODEL,): 7} == pair.embedder.embedded_tokens()


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
