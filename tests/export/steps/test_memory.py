"""Working memory: a share for every worker, turns for what needs more."""

import pytest

from export.steps.memory import Memory

MIB = 2**20


def text_bytes(tokens: int) -> int:
    """A MiB a token."""
    return tokens * MIB


def test_half_of_the_memory_is_shared_evenly() -> None:
    memory = Memory(lambda tokens: tokens, workers=2, limit_mib=40)

    assert [False, True] == [memory.is_large(tokens) for tokens in (10 * MIB, 10 * MIB + 1)]


def test_without_a_limit_a_worker_has_512_mib() -> None:
    memory = Memory(lambda tokens: tokens, workers=3)

    assert [False, True] == [memory.is_large(tokens) for tokens in (256 * MIB, 256 * MIB + 1)]


@pytest.mark.parametrize(
    ("tokens", "texts"), [(1, 10), (3, 3), (5, 2), (6, 1), (10, 1), (11, 1), (100, 1)]
)
def test_a_micro_batch_has_as_many_texts_as_a_share_holds(tokens: int, texts: int) -> None:
    assert texts == Memory(text_bytes, workers=2, limit_mib=40).most_texts(tokens)


def test_large_texts_share_the_other_half() -> None:
    memory = Memory(text_bytes, workers=4, limit_mib=40)

    memory.take(12)
    assert [True, False] == [memory.has_room(tokens) for tokens in (8, 9)]
    memory.take(8)
    assert not memory.has_room(6)
    memory.give_back(12)
    assert [True, False] == [memory.has_room(tokens) for tokens in (12, 13)]


def test_what_fits_a_share_takes_nothing_of_the_other_half() -> None:
    memory = Memory(text_bytes, workers=4, limit_mib=40)

    for _ in range(4):
        memory.take(5)
    memory.take(12)
    for _ in range(4):
        memory.give_back(5)
    assert [True, False] == [memory.has_room(tokens) for tokens in (8, 9)]


def test_a_text_above_the_half_runs_when_no_other_large_one_does() -> None:
    memory = Memory(text_bytes, workers=4, limit_mib=40)

    assert memory.has_room(1000)
    memory.take(1000)
    assert not memory.has_room(6)
    memory.give_back(1000)
    memory.take(6)
    assert not memory.has_room(1000)
