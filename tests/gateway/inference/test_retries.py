"""How much is retried, by a clock that the test moves."""

import pytest

from gateway.inference.retries import RetryBudget
from tests.gateway.clock import Clock


@pytest.fixture
def budget(clock: Clock) -> RetryBudget:
    return RetryBudget(clock)


def taken(budget: RetryBudget, tokens: int = 10) -> int:
    """Tokens that may be retried now, in such pieces."""
    total = 0
    while total < 10_000 and budget.take(tokens, window_tokens=100):
        total += tokens
    return total


def test_all_that_one_triton_had_may_be_retried_at_once(budget: RetryBudget) -> None:
    assert 200 == taken(budget)


def test_a_chunk_above_the_window_may_be_retried(budget: RetryBudget) -> None:
    assert budget.take(5000, window_tokens=100)


def test_of_what_is_sent_a_fifth_may_be_retried(budget: RetryBudget) -> None:
    taken(budget)
    budget.pay(400)
    assert 80 == taken(budget)


def test_time_pays_off_what_was_retried(budget: RetryBudget, clock: Clock) -> None:
    taken(budget)
    clock.now += 5
    assert 100 == taken(budget)


def test_who_retried_nothing_has_no_more_for_it(budget: RetryBudget, clock: Clock) -> None:
    budget.pay(10**6)
    clock.now += 10**6
    assert 200 == taken(budget)
