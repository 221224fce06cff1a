"""What is kept, what is forgotten, and how much room it takes."""

import tracemalloc

from export.steps.tokenization import generations
from export.steps.tokenization.generations import Generations


def items(start: int, count: int) -> dict[bytes, bytes]:
    return {f"key {number}".encode(): bytes(8) for number in range(start, start + count)}


def test_what_was_put_is_young_and_found() -> None:
    known = Generations(2**20)
    known.put({b"a": b"1"})
    known.put({b"a": b"2", b"b": b"3"})
    assert {b"a": b"1", b"b": b"3"} == known.young


def test_the_old_is_recalled_and_young_again() -> None:
    known = Generations(2**16)
    known.put({b"a": b"1"})
    start = 0
    while known.young:
        known.put(items(start, 1))
        start += 1
    assert {b"a": b"1"} == known.recall([b"a", b"b"])
    assert {b"a": b"1"} == known.young
    assert {b"a": b"1"} == known.recall([b"a"])


def test_what_nobody_asks_for_is_forgotten_and_the_rest_is_not() -> None:
    known = Generations(2**16)
    known.put({b"often": b"1", b"once": b"2"})
    for start in range(0, 4000, 10):
        if known.young.get(b"often") is None:
            assert {b"often": b"1"} == known.recall([b"often"])
        known.put(items(start, 10))
    assert {} == known.recall([b"once", b"key 0"])


def taken_bytes() -> int:
    """What lines of this test and of what it tests have allocated, whatever else runs."""
    own = [tracemalloc.Filter(True, file) for file in (__file__, str(generations.__file__))]
    snapshot = tracemalloc.take_snapshot().filter_traces(own)
    return sum(trace.size for trace in snapshot.traces)


def test_never_more_is_taken_than_allowed() -> None:
    limit = 2**18
    tracemalloc.start()
    try:
        known, sizes = Generations(limit), []
        for start in range(0, 20_000, 50):
            known.put(items(start, 50))
            sizes.append(known.size_bytes)
            if start % 500 == 0:
                assert taken_bytes() <= sizes[-1] + 8192
        assert limit // 4 < max(sizes) <= limit
    finally:
        tracemalloc.stop()
