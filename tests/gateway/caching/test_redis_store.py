"""RedisStore on a real Redis: shared, sealed, and missed by nobody."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway import Settings, create_app
from gateway.caching.digests import Digests
from gateway.caching.embedder import CachingEmbedder
from gateway.caching.opening import cached
from gateway.caching.redis_store import PAUSE_SECONDS, TIMEOUT_SECONDS, RedisStore
from gateway.redis_client import open_redis
from gateway.settings import SettingsError
from load_tests.redis_server import RedisServer, running_redis
from tests.fakes import FakeEmbedder
from tests.gateway.caching.test_embedder import (
    Interleaving,
    Triton,
    assert_same,
    call_for,
    make_metrics,
)

pytestmark = pytest.mark.anyio

SECRET = "of both gateways, and nobody's else"  # noqa: S105 - of a test
PREFIX = b"triton-embeddings:cache:1:"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


class Stores:
    """One Redis, and who uses it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.errors = 0
        self.now = 0.0
        self.opened: list[RedisStore] = []

    def open(self, secret: bytes = b"secret") -> RedisStore:
        redis = open_redis(Settings(auth="off", redis_url=self.url), TIMEOUT_SECONDS)
        assert redis is not None
        self.opened.append(RedisStore(redis, secret, self.note_error, lambda: self.now))
        return self.opened[-1]

    def note_error(self) -> None:
        self.errors += 1


@pytest.fixture
async def stores(server: RedisServer) -> AsyncIterator[Stores]:
    stores = Stores(server.url)
    await stores.open()._redis.flushall()
    yield stores
    for store in stores.opened:
        await store.close()


async def test_what_one_gateway_keeps_another_one_finds(stores: Stores) -> None:
    await stores.open().write({b"7:a": b"A", b"7:b": b""})
    assert [b"A", None, b""] == list(await stores.open().read([b"7:a", b"7:c", b"7:b"]))
    assert stores.errors == 0


async def test_a_record_is_forgotten_one_day(stores: Stores) -> None:
    store = stores.open()
    await store.write({b"7:a": b"A"})
    assert 0 < await store._redis.ttl(PREFIX + b"7:a") <= 7 * 24 * 3600


async def test_another_secret_opens_nothing(stores: Stores) -> None:
    await stores.open().write({b"7:a": b"A"})
    assert [None] == list(await stores.open(b"another").read([b"7:a"]))


@pytest.mark.parametrize("change", ["record", "place", "short"])
async def test_what_was_changed_in_redis_is_not_believed(stores: Stores, change: str) -> None:
    store = stores.open()
    await store.write({b"7:a": b"A" * 20})
    sealed = await store._redis.get(PREFIX + b"7:a")
    assert isinstance(sealed, bytes)
    changed = {"record": sealed[:-1] + b"B", "place": sealed, "short": sealed[:10]}[change]
    key = b"7:b" if change == "place" else b"7:a"
    await store._redis.set(PREFIX + key, changed)
    assert [None] == list(await store.read([key]))


async def test_without_redis_everything_is_computed_until_it_is_back(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    with running_redis() as server:
        stores.url = server.url
        store, triton = stores.open(), Triton()
        cache = CachingEmbedder(triton, store, Digests(b"x", is_shared=True), make_metrics())
        expected = await triton.embed(call_for("a"))
        await cache.embed(call_for("a"))
        assert (await cache.embed(call_for("a"))).is_cached
        server.stop()
        assert_same(expected, await cache.embed(call_for("a")))
        assert stores.errors == 2  # one to read and one to write
        server.start()
        assert_same(expected, await cache.embed(call_for("a")))
        assert stores.errors == 4  # it is not asked yet
        stores.now = PAUSE_SECONDS
        for is_cached in (False, True):
            assert (await cache.embed(call_for("a"))).is_cached == is_cached
        assert stores.errors == 4
    told = [line for line in caplog.messages if "the cache's Redis" in line]
    assert ["the cache's Redis does not answer: ConnectionError", told[-1]] == told
    assert told[-1] == "the cache's Redis answers again"


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_the_bytes_are_those_of_no_cache(stores: Stores, seed: int) -> None:
    assert 30 < await Interleaving(seed).run(stores.open())


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"redis_url": "redis://127.0.0.1:1"}, "CACHE_SECRET, or its file, has less"),
        ({"cache_secret_file": "/no/such"}, "CACHE_SECRET_FILE cannot be read: No such file"),
        ({"cache_secret": SECRET}, "GATEWAY_REDIS_URL is not set"),
    ],
)
def test_a_cache_in_redis_needs_both(chosen: dict[str, str], message: str) -> None:
    settings = Settings(auth="off", cache="redis", **chosen)  # type: ignore[arg-type]
    assert SECRET not in repr(settings)
    with pytest.raises(SettingsError, match=message):
        create_app(settings, FakeEmbedder())


async def test_gateways_with_one_secret_share(server: RedisServer, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    triton = Triton()
    is_cached = []
    for chosen in ({"cache_secret": SECRET}, {"cache_secret_file": str(path)}):
        settings = Settings(auth="off", cache="redis", redis_url=server.url, **chosen)  # type: ignore[arg-type]
        cache = cached(triton, settings, make_metrics())
        is_cached.append((await cache.embed(call_for("shared"))).is_cached)
        await cache._store.close()  # type: ignore[attr-defined]
    assert [False, True] == is_cached
