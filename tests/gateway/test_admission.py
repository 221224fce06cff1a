"""The bound on tokens in flight."""

import pytest

from gateway.admission import Admission
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
