"""When segments are looked up, and when that rests."""

from export.steps.tokenization.worth import (
    JUDGED_SEGMENTS,
    LONGEST_REST_BYTES,
    MOST_MISSES,
    REST_BYTES,
    Worth,
)


def rest_of(worth: Worth) -> int:
    """Bytes that go by before it is given again."""
    size = 0
    while not worth.is_given(1024):
        size += 1024
    return size


def judge(worth: Worth, misses: float) -> None:
    worth.learn(JUDGED_SEGMENTS, round(misses * JUDGED_SEGMENTS))


def test_it_is_given_until_most_are_new() -> None:
    worth = Worth()
    assert worth.is_given(10**9)
    judge(worth, MOST_MISSES)
    assert worth.is_given(1)
    judge(worth, MOST_MISSES + 0.01)
    assert not worth.is_given(1)


def test_a_few_segments_tell_nothing() -> None:
    worth = Worth()
    worth.learn(JUDGED_SEGMENTS - 1, JUDGED_SEGMENTS - 1)
    assert worth.is_given(1)
    worth.learn(1, 1)
    assert not worth.is_given(1)


def test_what_was_judged_is_not_judged_again() -> None:
    worth = Worth()
    judge(worth, 0)
    judge(worth, 1)
    assert REST_BYTES == rest_of(worth)


def test_rests_grow_while_nothing_changes() -> None:
    worth = Worth()
    rests = []
    for _ in range(10):
        judge(worth, 1)
        rests.append(rest_of(worth))
    assert [REST_BYTES, 2 * REST_BYTES, 4 * REST_BYTES] == rests[:3]
    assert [LONGEST_REST_BYTES] * 3 == rests[-3:]
    judge(worth, 0.1)
    judge(worth, 1)
    assert REST_BYTES == rest_of(worth)


def test_who_never_tires_does_not_rest() -> None:
    worth = Worth(most_misses=1.0)
    judge(worth, 1)
    assert worth.is_given(1)
