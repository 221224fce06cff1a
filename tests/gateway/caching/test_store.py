"""MemoryStore: what it keeps, and what goes first."""

import pytest

from gateway.caching.store import ENTRY_BYTES, MemoryStore

pytestmark = pytest.mark.anyio

SIZE = 1 + 10 + ENTRY_BYTES


def store_of(entries: int) -> MemoryStore:
    return MemoryStore(entries * SIZE)


async def test_what_is_written_is_read() -> None:
    store = store_of(2)
    await store.write({b"a": b"A" * 10})
    assert [b"A" * 10, None] == list(await store.read([b"a", b"b"]))
    assert store.held_bytes == SIZE


async def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    store = store_of(2)
    await store.write({b"a": b"A" * 10, b"b": b"B" * 10})
    await store.read([b"a"])
    await store.write({b"c": b"C" * 10})
    assert [b"A" * 10, None, b"C" * 10] == list(await store.read([b"a", b"b", b"c"]))
    assert store.held_bytes == 2 * SIZE


async def test_what_is_written_again_is_held_once() -> None:
    store = store_of(2)
    await store.write({b"a": b"A" * 5})
    await store.write({b"a": b"A" * 10})
    assert (store.held_bytes, [b"A" * 10]) == (SIZE, list(await store.read([b"a"])))


async def test_what_is_larger_than_the_store_is_not_kept() -> None:
    store = store_of(1)
    await store.write({b"a": b"A" * 11})
    assert (0, [None]) == (store.held_bytes, list(await store.read([b"a"])))
