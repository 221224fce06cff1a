"""Who travels alone, and for how long."""

from gateway.access.keys import Caller
from gateway.inference.debts import MAX_CALLERS, TIMES, Debts

ANN, BEN = Caller(b"a"), Caller(b"b")


def test_nobody_owes_until_a_text_of_his_has_failed_a_shared_request() -> None:
    debts = Debts()
    assert not debts.owes(ANN)
    debts.add(ANN, 10)
    assert (True, False) == (debts.owes(ANN), debts.owes(BEN))


def test_it_is_made_good_by_as_many_tokens_times_eight() -> None:
    debts = Debts()
    debts.add(ANN, 10)
    debts.add(ANN, 5)
    debts.pay(ANN, 15 * TIMES - 1)
    assert debts.owes(ANN)
    debts.pay(ANN, 1)
    assert not debts.owes(ANN)
    debts.pay(ANN, 1000)  # nothing is saved up
    debts.add(ANN, 1)
    assert debts.owes(ANN)


def test_connections_of_one_key_owe_together() -> None:
    debts = Debts()
    debts.add(Caller(b"a", ("10.0.0.1", 1)), 10)
    assert debts.owes(Caller(b"a", ("10.0.0.2", 2)))


def test_without_keys_it_is_by_host() -> None:
    debts = Debts()
    debts.add(Caller(b"", ("10.0.0.1", 1)), 10)
    assert debts.owes(Caller(b"", ("10.0.0.1", 2)))
    assert not debts.owes(Caller(b"", ("10.0.0.2", 1)))


def test_no_more_callers_are_remembered_than_fit() -> None:
    debts = Debts()
    for number in range(MAX_CALLERS + 1):
        debts.add(Caller(str(number).encode()), 1)
    assert not debts.owes(Caller(b"0"))
    assert debts.owes(Caller(b"1"))
