"""Addresses as they are written, and names whose addresses change."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import TritonUnavailable
from gateway.inference import resolution
from gateway.inference.resolution import Addresses
from gateway.inference.triton import TritonEmbedder
from gateway.settings import SettingsError
from tests.fakes import FakeTriton, serve_triton
from tests.gateway.inference.test_triton import call_for, wait_until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("triton:8001", ["triton:8001"]),
        ("10.0.0.1:8001, 10.0.0.2:8001", ["10.0.0.1:8001", "10.0.0.2:8001"]),
        ("[::1]:8001", ["[::1]:8001"]),
        ("unix:/run/triton", ["unix:/run/triton"]),
        ("dns:///triton:8001", []),
    ],
)
def test_addresses_are_told_apart_by_commas(text: str, addresses: list[str]) -> None:
    assert addresses == list(Addresses(text).known())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("triton", "'triton', which is no host:port"),
        ("", "'', which is no host:port"),
        ("a:1,,b:2", "'', which is no host:port"),
        ("a:b", "'a:b', which is no host:port"),
        ("a:65536", "'a:65536', which is no host:port"),
        ("http://a:1", "'http://a:1', which is no host:port"),
        ("dns:triton:8001", "a name is dns:///name:port"),
        ("dns:///triton", "a name is dns:///name:port"),
        ("dns://8.8.8.8/triton:8001", "and the system resolves it"),
    ],
)
def test_what_is_no_address_is_said(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        Addresses(text)


async def test_a_name_is_resolved_by_the_system() -> None:
    assert "127.0.0.1:8001" in await resolution.resolve("localhost", 8001)


class Names:
    """A resolver whose answer the test chooses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: list[str] | None = list(addresses)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        if self.addresses is None:
            raise OSError("no such name")
        return self.addresses


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits seconds for a test."""
    monkeypatch.setattr(resolution, "RESOLVE_SECONDS", 0.02)
    monkeypatch.setattr(resolution, "LOSS_SECONDS", 0.0)
    monkeypatch.setattr("gateway.inference.mending.WATCH_SECONDS", 0.02)


@pytest.fixture
async def ports() -> AsyncIterator[tuple[int, int]]:
    async with serve_triton(FakeTriton()) as one, serve_triton(FakeTriton()) as other:
        yield one, other


async def test_tritons_come_and_go_with_the_addresses_of_a_name(ports: tuple[int, int]) -> None:
    one, other = (f"127.0.0.1:{port}" for port in ports)
    names = Names(one)
    embedder = TritonEmbedder("dns:///triton:8001", resolve=names)

    def states() -> dict[str, str]:
        return {status.address: status.state for status in embedder.status()}

    with pytest.raises(Exception, match="no inference server"):
        await embedder.embed(call_for(b"x"))
    await wait_until(lambda: states() == {one: "ready"})
    names.addresses = [one, other]
    await wait_until(lambda: states() == {one: "ready", other: "ready"})
    names.addresses = [other]
    await wait_until(lambda: states() == {other: "ready"})
    nothing: list[list[str] | None] = [None, []]  # a resolver that fails, and one that is wrong
    for names.addresses in nothing:
        names.asked = 0
        await wait_until(lambda: names.asked > 1)
        assert {other: "ready"} == states()
    await embedder.embed(call_for(b"x"))
    await embedder.close()


async def test_a_triton_whose_address_is_gone_finishes_what_it_has(ports: tuple[int, int]) -> None:
    left = FakeTriton()
    async with serve_triton(left) as port:
        names = Names(f"127.0.0.1:{port}")
        embedder = TritonEmbedder("dns:///triton:8001", resolve=names)
        with pytest.raises(Exception, match="no inference server"):
            await embedder.embed(call_for(b"x"))
        await wait_until(lambda: [one.state for one in embedder.status()] == ["ready"])
        left.goes_on.clear()
        running = asyncio.create_task(embedder.embed(call_for(b"x")))
        await wait_until(lambda: embedder.triton_tokens()[("interactive",)] > 0)
        names.addresses = [f"127.0.0.1:{ports[0]}"]
        await wait_until(lambda: {one.state for one in embedder.status()} == {"draining", "ready"})
        for _ in range(3):
            await embedder.embed(call_for(b"x"))  # of the other one
        left.goes_on.set()
        await running
        await wait_until(lambda: [one.state for one in embedder.status()] == ["ready"])
        await embedder.close()


async def test_the_first_look_waits_for_the_addresses(ports: tuple[int, int]) -> None:
    names, may_answer = Names(f"127.0.0.1:{ports[0]}"), asyncio.Event()

    async def resolve_late(host: str, port: int) -> list[str]:
        await may_answer.wait()
        return await names(host, port)

    embedder = TritonEmbedder("dns:///triton:8001", resolve=resolve_late)
    looking = asyncio.create_task(embedder.repository())
    await asyncio.sleep(0)
    assert not looking.done()
    may_answer.set()
    assert (await looking).ensembles
    await embedder.close()


async def test_a_name_server_that_says_nothing_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolution, "FIRST_SECONDS", 0.0)

    async def resolve_never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    embedder = TritonEmbedder("dns:///triton:8001", resolve=resolve_never)
    with pytest.raises(TritonUnavailable, match="has an address"):
        await embedder.repository()
    await embedder.close()


async def test_a_loss_makes_a_name_be_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolution, "RESOLVE_SECONDS", 60.0)
    names = Names("127.0.0.1:1")
    addresses = Addresses("dns:///triton:8001", names)
    following = asyncio.create_task(addresses.follow(lambda known: None))
    await wait_until(lambda: names.asked == 1)
    addresses.note_loss()
    await wait_until(lambda: names.asked == 2)
    following.cancel()
