"""Limits of keys, counted in this process and in a real Redis."""

import asyncio
import logging
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from gateway import Settings
from gateway.access.keys import Key
from gateway.access.limits import FREE, Limits, render_duration
from gateway.access.shared_minutes import PAUSE_SECONDS, TIMEOUT_SECONDS, SharedMinutes
from gateway.errors import AboveLimit, HungUp, InferenceFailed, LimitsAway, RateLimited
from gateway.redis_client import open_redis
from gateway.settings import SettingsError
from load_tests import limits as limits_over_gateways
from load_tests.redis_server import RedisServer, running_redis
from tests.gateway.clock import Clock

pytestmark = pytest.mark.anyio

REQUESTS = Key("requests", b"1" * 32, requests_per_minute=3)
TOKENS = Key("tokens", b"2" * 32, tokens_per_minute=100)
BOTH = Key("both", b"3" * 32, requests_per_minute=2, tokens_per_minute=100)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def client_of(server: RedisServer) -> Any:
    return open_redis(Settings(auth="off", redis_url=server.url), TIMEOUT_SECONDS)


@asynccontextmanager
async def limits_of(server: RedisServer | None, **options: Any) -> AsyncIterator[Limits]:
    """Limits counted in a Redis that is empty, or in this process."""
    shared = None
    if server:
        client = client_of(server)
        await client.flushall()
        shared = SharedMinutes(client, clock=options.get("clock", Clock()))
    limits = Limits(shared, **options)
    yield limits
    await limits.close()


@pytest.fixture(params=["here", "redis"])
async def limits(request: pytest.FixtureRequest, redis: RedisServer) -> AsyncIterator[Limits]:
    async with limits_of(redis if request.param == "redis" else None, clock=Clock()) as limits:
        yield limits


async def refused(limits: Limits, key: Key, tokens: int) -> str:
    """What a call is refused for; empty if it is not."""
    try:
        await limits.charge(key, tokens)
    except RateLimited as error:
        return error.message.split(" a minute")[0].split()[-1]
    return ""


async def test_a_key_without_limits_is_charged_nothing(limits: Limits) -> None:
    charge = await limits.charge(Key("free"), 10**9)
    with charge:
        charge.settle(1)
    assert charge is FREE
    assert charge.headers == {}


async def test_requests_are_counted_until_the_limit(limits: Limits) -> None:
    told = [await refused(limits, REQUESTS, 10**6) for _ in range(5)]
    assert told == ["", "", "", "requests", "requests"]


async def test_tokens_are_counted_until_the_limit(limits: Limits) -> None:
    told = [await refused(limits, TOKENS, tokens) for tokens in (60, 41, 40, 1)]
    assert told == ["", "tokens", "", "tokens"]


async def test_a_refused_call_counts_for_neither_limit(limits: Limits) -> None:
    told = [await refused(limits, BOTH, tokens) for tokens in (90, 50, 50, 10, 0)]
    assert told == ["", "tokens", "tokens", "", "requests"]


async def test_keys_do_not_count_for_each_other(limits: Limits) -> None:
    assert [await refused(limits, key, 60) for key in (TOKENS, BOTH, TOKENS)] == ["", "", "tokens"]


async def test_a_charge_is_corrected_to_what_was_embedded(limits: Limits) -> None:
    charge = await limits.charge(TOKENS, 90)
    charge.settle(20)
    charge.settle(20)
    assert charge.headers["x-ratelimit-remaining-tokens"] == "80"
    await settled(limits)
    dear = await limits.charge(TOKENS, 80)
    dear.settle(150)  # which nobody knew before
    assert dear.headers["x-ratelimit-remaining-tokens"] == "0"
    await settled(limits)
    assert await refused(limits, TOKENS, 1) == "tokens"


async def settled(limits: Limits) -> None:
    """Returns when Redis has what nobody waits for."""
    if limits._shared:
        await asyncio.gather(*limits._shared._corrections)


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (InferenceFailed("it broke"), "100"),
        (KeyError("a bug"), "100"),
        (HungUp("gone"), "10"),
        (asyncio.CancelledError(), "10"),
    ],
    ids=["failed", "crashed", "hung-up", "late"],
)
async def test_tokens_of_a_call_that_fails_here_are_given_back(
    limits: Limits, error: BaseException, left: str
) -> None:
    charge = await limits.charge(TOKENS, 90)
    with pytest.raises(type(error)), charge:
        raise error
    assert charge.headers["x-ratelimit-remaining-tokens"] == left


async def test_a_call_above_the_limit_of_a_minute_is_told_so(limits: Limits) -> None:
    with pytest.raises(AboveLimit, match="about 101 tokens, more than the 100 a minute of") as told:
        await limits.charge(TOKENS, 101)
    assert told.value.headers == {"x-should-retry": "false"}


async def test_headers_are_those_of_openai(limits: Limits) -> None:
    assert (await limits.charge(BOTH, 30)).headers == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "70",
        "x-ratelimit-reset-tokens": "1m0s",
    }
    assert set((await limits.charge(REQUESTS, 30)).headers) == {
        f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset")
    }


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(60, "1m0s"), (59.9994, "1m0s"), (59.5, "59.5s"), (1.2, "1.2s"), (1, "1s"), (0.0201, "21ms"),
     (0, "0ms"), (90.25, "1m30.25s")],
)  # fmt: skip
def test_durations_are_written_as_openai_does(seconds: float, written: str) -> None:
    assert written == render_duration(seconds)


async def test_a_minute_begins_with_the_first_call_and_ends_whole() -> None:
    clock = Clock()
    async with limits_of(None, clock=clock) as limits:
        charge = await limits.charge(BOTH, 90)
        clock.now += 59.5
        assert charge.headers["x-ratelimit-reset-tokens"] == "500ms"
        assert await refused(limits, BOTH, 20) == "tokens"
        clock.now += 0.5
        charge.settle(0)  # of the minute before: nothing is given to this one
        await limits.charge(BOTH, 90)
        charge.settle(50)
        assert await refused(limits, BOTH, 11) == "tokens"
        assert await refused(limits, BOTH, 10) == ""


@pytest.mark.parametrize(("passed", "retry_after"), [(0, 30), (35, 25), (59.9, 1)])
async def test_a_refusal_says_when_to_come_back(passed: float, retry_after: int) -> None:
    clock = Clock()
    async with limits_of(None, clock=clock) as limits:
        for _ in range(3):
            await limits.charge(REQUESTS, 1)
        clock.now += passed
        with pytest.raises(RateLimited) as told:
            await limits.charge(REQUESTS, 1)
    assert told.value.headers["Retry-After"] == str(retry_after)
    assert told.value.headers["x-ratelimit-reset-requests"] == render_duration(
        1060 - (1000 + passed)
    )
    details: Any = told.value.details
    assert (details["limit"], details["remaining"]) == ("3", "0")
    assert details["retry_after"] == retry_after


async def test_a_key_that_is_used_up_is_refused_before_anything_is_read(limits: Limits) -> None:
    clock: Any = limits._clock
    for _ in range(3):
        limits.refuse_used_up(REQUESTS)
        await limits.charge(REQUESTS, 1)
    limits.refuse_used_up(REQUESTS)  # nothing was refused yet
    assert await refused(limits, REQUESTS, 1) == "requests"
    clock.now += 20
    with pytest.raises(RateLimited) as told:
        limits.refuse_used_up(REQUESTS)
    assert re.fullmatch(r"40s|39\.9\d*s", told.value.headers["x-ratelimit-reset-requests"])
    limits.refuse_used_up(replace(REQUESTS, requests_per_minute=4))  # it was given more
    limits.refuse_used_up(replace(REQUESTS, requests_per_minute=None))
    assert await refused(limits, REQUESTS, 1) == "requests"
    clock.now += 60
    limits.refuse_used_up(REQUESTS)


async def test_a_key_without_tokens_left_may_have_some_back(limits: Limits) -> None:
    charge = await limits.charge(TOKENS, 100)
    assert await refused(limits, TOKENS, 1) == "tokens"
    limits.refuse_used_up(TOKENS)
    charge.settle(10)
    await settled(limits)
    assert await refused(limits, TOKENS, 1) == ""


async def test_many_gateways_together_accept_as_many_as_the_limit(redis: RedisServer) -> None:
    key = Key("exact", b"4" * 32, requests_per_minute=200, tokens_per_minute=10**6)
    gateways = [Limits(SharedMinutes(client_of(redis)), is_closed=True) for _ in range(3)]
    calls = [refused(limits, key, 1) for _ in range(100) for limits in gateways]
    assert Counter(await asyncio.gather(*calls)) == {"": 200, "requests": 100}
    for limits in gateways:
        await limits.close()


async def test_redis_forgets_a_minute_when_it_is_over(redis: RedisServer) -> None:
    async with limits_of(redis) as limits:
        await limits.charge(TOKENS, 90)
        client = client_of(redis)
        (name,) = await client.keys("*")
        assert 59_000 < await client.pttl(name) <= 60_000
        assert TOKENS.digest.hex().encode() not in name
        await client.pexpire(name, 1_000_000)  # as after its clock was set back
        assert await refused(limits, TOKENS, 90) == ""
        assert await client.pttl(name) <= 60_000
        await client.delete(name)
        charge = await limits.charge(TOKENS, 90)
        await client.delete(name)
        charge.settle(10)
        await settled(limits)
        assert await client.keys("*") == []  # a correction begins no minute
        await client.aclose()


@pytest.fixture
def own() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


async def test_while_redis_is_gone_each_counts_by_itself(
    own: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock, errors = Clock(), Counter[str]()
    shared = SharedMinutes(client_of(own), lambda: errors.update(["error"]), clock)
    limits = Limits(shared, clock=clock)
    await limits.charge(REQUESTS, 1)
    assert limits.are_shared
    own.stop()
    told = [await refused(limits, REQUESTS, 1) for _ in range(4)]
    assert told == ["", "", "", "requests"]
    assert (limits.are_shared, errors["error"]) == (False, 4)
    own.start()
    assert await refused(limits, REQUESTS, 1) == "requests"  # not asked again yet
    clock.now += PAUSE_SECONDS
    assert await refused(limits, REQUESTS, 1) == ""
    assert limits.are_shared
    lines = [record.message for record in caplog.records if record.name.startswith("gateway")]
    assert [line.split(":")[0] for line in lines] == [
        "Redis does not answer",
        "Redis answers again",
    ]
    await limits.close()


async def test_while_redis_is_gone_calls_can_be_refused(own: RedisServer) -> None:
    async with limits_of(own, is_closed=True) as limits:
        charge = await limits.charge(TOKENS, 1)
        own.stop()
        with pytest.raises(LimitsAway) as told:
            await limits.charge(TOKENS, 1)
        assert told.value.headers == {"Retry-After": "2"}
        assert await limits.charge(Key("free"), 1) is FREE
        charge.settle(10)  # is lost


async def test_a_redis_that_hangs_keeps_one_call_waiting(own: RedisServer) -> None:
    clock = Clock()
    async with limits_of(own, clock=clock) as limits:
        await limits.charge(TOKENS, 10)
        assert own.process
        own.process.send_signal(signal.SIGSTOP)
        assert await refused(limits, TOKENS, 60) == ""  # waits for the time limit
        assert await refused(limits, TOKENS, 60) == "tokens"  # does not
        own.process.send_signal(signal.SIGCONT)
        clock.now += PAUSE_SECONDS
        charges = [await limits.charge(TOKENS, 10) for _ in range(3)]
        left = [charge.headers["x-ratelimit-remaining-tokens"] for charge in charges]
        assert left in (["80", "70", "60"], ["20", "10", "0"])  # the late one may have come


async def test_a_redis_that_lost_its_scripts_gets_them_again(redis: RedisServer) -> None:
    async with limits_of(redis) as limits:
        await limits.charge(TOKENS, 10)
        client = client_of(redis)
        await client.script_flush()
        await client.aclose()
        await limits.charge(TOKENS, 10)
        assert limits.are_shared


async def test_a_wrong_password_is_told_without_it(caplog: pytest.LogCaptureFixture) -> None:
    with running_redis("--requirepass", "right-secret") as server:
        url = server.url.replace("//", "//:wrong-secret@")
        client = open_redis(Settings(auth="off", redis_url=url), TIMEOUT_SECONDS)
        assert client
        limits = Limits(SharedMinutes(client))
        with caplog.at_level(logging.DEBUG):
            await limits.open()
        assert not limits.are_shared
        await limits.close()
    assert "Redis does not answer: AuthenticationError " in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "a-secret",
        "http://:secret@host",
        "redis://:secret@host:port",
        "redis://[:secret@",
        "redis://host?secret=1",
    ],
)
def test_what_is_no_url_is_told_without_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^GATEWAY_REDIS_URL is no URL such as") as told:
        open_redis(Settings(auth="off", redis_url=url), 1.0)
    assert "secret" not in str(told.value)
    assert url not in repr(Settings(auth="off", redis_url=url))


def test_a_missing_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], None] = lambda name: None  # noqa: E731
    monkeypatch.setattr("gateway.redis_client.find_spec", find)  # as if not installed
    with pytest.raises(SettingsError, match=r"pip install 'triton-embeddings\[redis\]'"):
        open_redis(Settings(auth="off", redis_url="redis://host"), 1.0)


def test_two_gateways_answer_as_many_calls_as_the_limit() -> None:
    statuses, _ = limits_over_gateways.count(limit=300, calls=400, gateways=2)
    assert statuses == {200: 300, 429: 100}
