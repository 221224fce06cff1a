"""What texts will cost, before and after the tokenizer has seen some."""

import numpy as np
import pytest

from gateway.inference.estimates import (
    BYTES_CARRIED,
    LONG_BYTES,
    MAX_CALLERS,
    REMEMBERED_BYTES,
    Estimates,
)

DOTS = [b"." * 500] * 64


@pytest.fixture
def estimates() -> Estimates:
    return Estimates()


def counts(*tokens: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array(tokens, dtype=np.int32)


def test_guesses_come_from_bytes_and_stop_at_the_limit(estimates: Estimates) -> None:
    texts = [b"", b"a", b"abc", b"abcd", b"a" * 30, b"a" * 4000]
    assert [2, 3, 3, 4, 12, 512] == estimates.guess("ann", texts, 512)


def test_bytes_far_beyond_the_limit_cost_as_well(estimates: Estimates) -> None:
    long = LONG_BYTES * 512
    texts = [b"a" * (long + extra) for extra in (0, BYTES_CARRIED - 1, BYTES_CARRIED, 2**20)]
    assert [512, 512, 513, 512 + 2**20 // BYTES_CARRIED] == estimates.guess("ann", texts, 512)
    assert [512 + (2**20 - 4096) // 64] == estimates.guess("ann", [b"a" * 2**20], 512)


def test_who_sends_punctuation_is_believed_what_was_found(estimates: Estimates) -> None:
    estimates.learn("ann", DOTS, counts(*[502] * 64), 512)
    (guess,) = estimates.guess("ann", DOTS[:1], 512)
    assert 450 <= guess <= 502
    for _ in range(9):
        estimates.learn("ann", DOTS, counts(*[502] * 64), 512)
    assert [502] == estimates.guess("ann", DOTS[:1], 512)


def test_nobody_else_is(estimates: Estimates) -> None:
    estimates.learn("ann", DOTS, counts(*[502] * 64), 512)
    assert [169] == estimates.guess("ben", DOTS[:1], 512)


def test_a_little_is_believed_a_little(estimates: Estimates) -> None:
    estimates.learn("ann", [b"." * 100], counts(102), 512)
    assert [107] == estimates.guess("ann", [b"a" * 300], 512)


def test_a_guess_never_falls_below_a_third(estimates: Estimates) -> None:
    words = [b"bread " * 80] * 64
    estimates.learn("ann", words, counts(*[82] * 64), 512)
    assert [162] == estimates.guess("ann", words[:1], 512)


def test_what_was_long_ago_fades(estimates: Estimates) -> None:
    estimates.learn("ann", DOTS, counts(*[502] * 64), 512)
    words = [b"a" * 300] * (REMEMBERED_BYTES // 300 + 1)
    estimates.learn("ann", words, counts(*[102] * len(words)), 512)
    assert [102] == estimates.guess("ann", [b"a" * 300], 512)


def test_texts_at_the_limit_say_nothing(estimates: Estimates) -> None:
    estimates.learn("ann", DOTS, counts(*[512] * 64), 512)
    estimates.learn("ann", [b""], counts(2), 512)
    assert [169] == estimates.guess("ann", DOTS[:1], 512)


def test_an_empty_text_is_not_fewer_than_no_tokens(estimates: Estimates) -> None:
    estimates.learn("ann", [b" " * 500] * 64, counts(*[1] * 64), 512)
    assert [169] == estimates.guess("ann", DOTS[:1], 512)


def test_callers_whose_last_answer_is_longest_ago_are_forgotten(estimates: Estimates) -> None:
    for caller in range(MAX_CALLERS):
        estimates.learn(caller, DOTS, counts(*[502] * 64), 512)
    estimates.learn(0, DOTS, counts(*[502] * 64), 512)
    estimates.learn("new", DOTS, counts(*[502] * 64), 512)
    assert MAX_CALLERS == 1024
    guesses = {who: estimates.guess(who, DOTS[:1], 512)[0] for who in (0, 1, 2, "new")}
    assert [who for who, guess in guesses.items() if guess > 400] == [0, 2, "new"]
