"""The bound on tokens in flight."""

from dataclasses import dataclass

import pytest

from gateway.access.admission import Admission
from gateway.errors import Overloaded


def test_calls_above_the_bound_are_turned_away_until_others_end() -> None:
    admission = Admission(max_tokens=10)
    with admission.admit(8):
        with pytest.raises(Overloaded):
            admission.admit(3).__enter__()
        with admission.admit(2):
            pass
    with admission.admit(10):
        pass


def test_a_call_above_the_whole_bound_runs_alone() -> None:
    with Admission(max_tokens=10).admit(11):
        pass


def test_a_failed_call_gives_its_place_back() -> None:
    admission = Admission(max_tokens=10)
    with pytest.raises(KeyError), admission.admit(10):
        raise KeyError
    with admission.admit(10), pytest.raises(Overloaded):
        admission.admit(1).__enter__()


@dataclass
class Clock:
    """Seconds, as the test says."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def refuse(admission: Admission) -> int | None:
    """What a caller above the bound is told."""
    with pytest.raises(Overloaded) as refused:
        admission.admit(1_000_000).__enter__()
    return refused.value.retry_after


@pytest.mark.parametrize(
    ("tokens", "retry_after"), [(50, 1), (250, 3), (100_000, 30)], ids=["least", "3 s", "most"]
)
def test_retry_after_is_what_the_tokens_in_flight_take(tokens: int, retry_after: int) -> None:
    clock = Clock()
    admission = Admission(max_tokens=100_000, clock=clock)
    with admission.admit(200):
        clock.now += 2
    clock.now += 1000  # idle time is no work
    with admission.admit(tokens):
        assert refuse(admission) == retry_after


def test_calls_side_by_side_share_the_time_they_take() -> None:
    clock = Clock()
    admission = Admission(max_tokens=1000, clock=clock)
    with admission.admit(100), admission.admit(100):
        clock.now += 1
    with admission.admit(400):
        assert refuse(admission) == 2


def test_the_rate_follows_what_happened_last() -> None:
    clock = Clock()
    admission = Admission(max_tokens=1000, clock=clock)
    for seconds in (1, 10):
        with admission.admit(100):
            clock.now += seconds
    with admission.admit(100):
        assert refuse(admission) == 8


def test_a_long_stall_is_soon_forgotten() -> None:
    clock = Clock()
    admission = Admission(max_tokens=1000, clock=clock)
    with admission.admit(100):
        clock.now += 10_000
    with admission.admit(100):
        assert refuse(admission) == 10


def test_before_any_answer_nothing_is_known() -> None:
    admission = Admission(max_tokens=10)
    with pytest.raises(KeyError), admission.admit(10):
        raise KeyError
    with admission.admit(10):
        assert refuse(admission) == 1
