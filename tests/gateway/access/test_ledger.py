"""What is held, by whom, and until when; no clock but the test's."""

import pytest

from gateway.access.keys import Caller
from gateway.access.ledger import Entry, Ledger, Room
from gateway.errors import Overloaded
from tests.gateway.clock import Clock

ANN, BEN = Caller(b"\x0a" * 32, "ann"), Caller(b"\x0b" * 32, "ben")
MIB = 2**20


def open_ledger(
    clock: Clock, *, max_bytes: int = 1000, max_tokens: int = 1000, small_tokens: int = 10
) -> Ledger:
    return Ledger(
        max_bytes=max_bytes, max_tokens=max_tokens, small_tokens=small_tokens, clock=clock
    )


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return open_ledger(clock)


def is_empty(ledger: Ledger) -> bool:
    return not ledger.held_bytes() and not ledger.held_tokens()


# Room


def take(room: Room, key: bytes, *amounts: int) -> list[bool]:
    return [room.take(key, amount) for amount in amounts]


def test_room_is_taken_up_to_its_size_and_given_back() -> None:
    room = Room(size=100, small=100)
    assert [True, False] == take(room, b"a", 60) + take(room, b"b", 41)
    assert take(room, b"b", 40) == [True]
    assert (100, {b"a": 60, b"b": 40}) == (room.held, room.held_by)
    room.give_back(b"a", 60)
    assert (40, {b"b": 40}) == (room.held, room.held_by)
    assert take(room, b"a", 60) == [True]


def test_one_key_takes_half_with_big_work_and_what_is_left_is_for_others() -> None:
    room = Room(size=100, small=1)
    assert [True] * 5 + [False] == take(room, b"a", *[10] * 6)
    assert [True] * 2 + [False] == take(room, b"b", *[10] * 2, 20)
    assert take(room, b"c", 30) == [True]


def test_small_work_of_a_key_takes_up_to_three_quarters() -> None:
    room = Room(size=100, small=10)
    assert [True] * 7 + [False] == take(room, b"a", *[10] * 8)
    assert take(room, b"a", 5, 1) == [True, False]
    assert take(room, b"b", 25, 1) == [True, False]


def test_work_of_just_the_small_size_is_small() -> None:
    room = Room(size=100, small=10)
    assert take(room, b"a", 50) == [True]
    assert take(room, b"a", 11, 10) == [False, True]


def test_work_that_grows_is_as_big_as_it_has_become() -> None:
    room = Room(size=100, small=10)
    assert take(room, b"a", 50) == [True]
    assert not room.take(b"a", 1, before=10)
    assert room.take(b"a", 1, before=9)


def test_what_grows_alone_always_fits() -> None:
    room = Room(size=100, small=10)
    assert take(room, b"a", 90) == [True]
    assert room.take(b"a", 90, before=90)
    assert not room.take(b"a", 1, before=90)


def test_the_first_work_of_a_key_may_take_all_that_is_left() -> None:
    room = Room(size=100, small=10)
    assert take(room, b"a", 40) == [True]
    assert [True, False] == take(room, b"b", 60, 1)


def test_what_stands_alone_always_fits() -> None:
    room = Room(size=100, small=10)
    assert take(room, b"a", 101) == [True]
    assert take(room, b"b", 1) == [False]
    room.give_back(b"a", 101)
    assert take(room, b"b", 500) == [True]


def test_asking_leaves_nothing_behind() -> None:
    room = Room(size=100, small=10)
    take(room, b"a", 100)
    take(room, b"b", 1)
    assert {b"a": 100} == room.held_by


# Bytes


def test_a_call_holds_bytes_until_it_is_closed(ledger: Ledger) -> None:
    entry = ledger.open(ANN)
    for total in (100, 300, 20):
        entry.hold(total)
        assert {("0a0a0a0a",): total} == ledger.held_bytes()
    entry.close()
    entry.close()
    assert is_empty(ledger)


def test_bytes_beyond_the_bound_are_turned_away_and_what_was_held_stays(ledger: Ledger) -> None:
    first, second = ledger.open(ANN), ledger.open(BEN)
    first.hold(900)
    second.hold(100)
    with pytest.raises(Overloaded, match="bytes") as refused:
        second.hold(101)
    assert refused.value.retry_after == 1
    assert {("0a0a0a0a",): 900, ("0b0b0b0b",): 100} == ledger.held_bytes()
    second.close()
    first.hold(901)


def test_a_key_that_fills_the_memory_leaves_room_for_the_questions_of_all(clock: Clock) -> None:
    ledger = open_ledger(clock, max_bytes=64 * MIB)
    uploads = [ledger.open(ANN) for _ in range(40)]
    refused = 0
    for upload in uploads:
        try:
            upload.hold(4 * MIB)
        except Overloaded:
            refused += 1
    assert 40 - 8 == refused
    with pytest.raises(Overloaded):
        ledger.open(ANN).hold(65_537)
    ledger.open(ANN).hold(65_536)
    ledger.open(BEN).hold(4 * MIB)


# Tokens


def test_tokens_wait_are_sent_and_are_gone_when_triton_has_answered(ledger: Ledger) -> None:
    entry = ledger.open(ANN)
    entry.admit(100)
    assert {("0a0a0a0a", "waiting"): 100, ("0a0a0a0a", "triton"): 0} == ledger.held_tokens()
    entry.send(30)
    entry.send(50)
    assert {("0a0a0a0a", "waiting"): 20, ("0a0a0a0a", "triton"): 80} == ledger.held_tokens()
    entry.answered(30)
    assert {("0a0a0a0a", "waiting"): 20, ("0a0a0a0a", "triton"): 50} == ledger.held_tokens()
    entry.send(20)
    entry.answered(50)
    entry.answered(20)
    entry.close()
    assert is_empty(ledger)


def test_a_caller_who_left_owes_what_triton_has_and_nothing_else(ledger: Ledger) -> None:
    entry = ledger.open(ANN)
    entry.admit(900)
    entry.send(600)
    entry.close()
    entry.close()
    assert {("0a0a0a0a", "waiting"): 0, ("0a0a0a0a", "triton"): 600} == ledger.held_tokens()
    with pytest.raises(Overloaded, match="tokens"):
        ledger.open(BEN).admit(401)
    entry.answered(600)
    assert is_empty(ledger)


def test_a_refused_call_holds_nothing(ledger: Ledger) -> None:
    first, second = ledger.open(ANN), ledger.open(BEN)
    first.admit(1000)
    with pytest.raises(Overloaded):
        second.admit(1)
    second.close()
    assert {"0a0a0a0a"} == {key for key, _ in ledger.held_tokens()}


def test_everybody_is_one_where_no_key_is_asked_for(ledger: Ledger) -> None:
    ledger.open(Caller()).hold(5)
    assert {("anybody",): 5} == ledger.held_bytes()


# Retry-After


def admit(ledger: Ledger, tokens: int) -> Entry:
    entry = ledger.open(ANN)
    entry.admit(tokens)
    entry.send(tokens)
    return entry


def refuse(ledger: Ledger) -> int | None:
    """What a caller above the bound is told."""
    with pytest.raises(Overloaded) as refused:
        ledger.open(BEN).admit(1_000_000)
    return refused.value.retry_after


@pytest.mark.parametrize(
    ("tokens", "retry_after"),
    [(50, 1), (100, 1), (101, 2), (250, 3), (100_000, 30)],
    ids=["least", "1 s", "rounded up", "3 s", "most"],
)
def test_retry_after_is_what_the_tokens_in_flight_take(
    clock: Clock, tokens: int, retry_after: int
) -> None:
    ledger = open_ledger(clock, max_tokens=100_000)
    entry = admit(ledger, 200)
    clock.now += 2
    entry.answered(200)
    clock.now += 1000  # idle time is no work
    admit(ledger, tokens)
    assert refuse(ledger) == retry_after


def test_bytes_are_told_to_wait_as_long(clock: Clock) -> None:
    ledger = open_ledger(clock)
    entry = admit(ledger, 200)
    clock.now += 2
    entry.answered(200)
    admit(ledger, 250).hold(1000)
    with pytest.raises(Overloaded) as refused:
        ledger.open(BEN).hold(1)
    assert refused.value.retry_after == 3


def test_calls_side_by_side_share_the_time_they_take(clock: Clock) -> None:
    ledger = open_ledger(clock)
    entries = [admit(ledger, 100), admit(ledger, 100)]
    clock.now += 1
    for entry in entries:
        entry.answered(100)
    admit(ledger, 400)
    assert refuse(ledger) == 2


def test_the_rate_follows_what_happened_last(clock: Clock) -> None:
    ledger = open_ledger(clock)
    for seconds in (1, 10):
        entry = admit(ledger, 100)
        clock.now += seconds
        entry.answered(100)
    admit(ledger, 100)
    assert refuse(ledger) == 8


def test_a_long_stall_is_soon_forgotten(clock: Clock) -> None:
    ledger = open_ledger(clock)
    entry = admit(ledger, 100)
    clock.now += 10_000
    entry.answered(100)
    admit(ledger, 100)
    assert refuse(ledger) == 10


def test_before_any_answer_nothing_is_known(clock: Clock) -> None:
    ledger = open_ledger(clock)
    ledger.open(ANN).admit(10)
    clock.now += 20
    assert refuse(ledger) == 1


def test_room_for_tokens_grows_with_the_tritons() -> None:
    tritons = 1
    ledger = Ledger(max_bytes=1, max_tokens=100, small_tokens=10, tritons=lambda: tritons)
    held = ledger.open(ANN)
    held.admit(40)
    with pytest.raises(Overloaded):
        ledger.open(BEN).admit(70)
    tritons = 2
    ledger.open(BEN).admit(70)
    tritons = 0  # of all calls some may still be answered
    with pytest.raises(Overloaded):
        ledger.open(ANN).admit(1)


def test_what_is_repeated_is_never_refused_and_given_back_once() -> None:
    ledger = Ledger(max_bytes=1, max_tokens=100, small_tokens=10)
    entry = ledger.open(ANN)
    entry.admit(90)
    entry.send(90)
    entry.repeat(90)  # the first Triton is silent, and has it still
    entry.send(90)
    for _ in range(2):
        entry.answered(90)
    entry.close()
    assert {} == ledger.held_tokens()


def saturated_ledger(clock: Clock) -> tuple[Ledger, Entry]:
    """One that answers 10 tokens a second, for as long as it is asked; 40 of 100 are left to do."""
    ledger = Ledger(
        max_bytes=1,
        max_tokens=1000,
        small_tokens=1,
        max_wait_seconds=20,
        least_tokens=30,
        clock=clock,
    )
    entry = ledger.open(ANN)
    entry.admit(100)
    for _ in range(6):
        entry.send(10)
        clock.now += 1
        entry.answered(10)
    return ledger, entry


def test_no_more_may_wait_than_is_answered_in_time(clock: Clock) -> None:
    ledger, _ = saturated_ledger(clock)  # has room for 200
    with pytest.raises(Overloaded):
        ledger.open(BEN).admit(161)
    ledger.open(BEN).admit(80)  # half of what is left for everybody


def test_a_rate_at_which_nothing_had_to_wait_bounds_nothing(clock: Clock) -> None:
    ledger, entry = saturated_ledger(clock)
    entry.close()
    questions = ledger.open(BEN)
    for _ in range(100):
        questions.admit(1)
        questions.send(1)
        clock.now += 1
        questions.answered(1)
    ledger.open(BEN).admit(200)  # not 30, for which nobody ever waited


def test_however_slow_it_is_some_may_wait(clock: Clock) -> None:
    ledger, entry = saturated_ledger(clock)
    for _ in range(3):
        entry.send(1)
        clock.now += 100
        entry.answered(1)
    entry.close()
    ledger.open(ANN).admit(2)
    with pytest.raises(Overloaded):
        ledger.open(BEN).admit(31)
    ledger.open(BEN).admit(14)


def test_what_waits_of_big_calls_keeps_no_small_one_out(clock: Clock) -> None:
    ledger = Ledger(
        max_bytes=1, max_tokens=10_000, small_tokens=1, max_wait_seconds=20, clock=clock
    )
    entry = ledger.open(ANN)
    entry.admit(5000)  # before anything is known of the rate, which is 10
    entry.send(10)
    clock.now += 1
    entry.answered(10)
    with pytest.raises(Overloaded):
        ledger.open(BEN).admit(2)
    for caller in (ANN, BEN):
        ledger.open(caller).admit(1)


def admit_each(entries: list[Entry]) -> None:
    for entry in entries:
        entry.admit(1)


def test_small_calls_may_fill_what_their_lane_gets_at_least(clock: Clock) -> None:
    ledger, entry = saturated_ledger(clock)  # 20 s of 10 tokens, a third of them
    questions = [ledger.open(caller) for caller in (ANN, BEN) * 100]
    for question in questions[:50]:
        question.admit(1)
    with pytest.raises(Overloaded):
        admit_each(questions[50:67])
    ledger.open(BEN).admit(80)  # a big one has its own lane
    for question in questions:
        question.close()
    entry.close()
    ledger.open(ANN).admit(1)


def test_a_refused_call_leaves_nothing_in_either_lane(clock: Clock) -> None:
    ledger, entry = saturated_ledger(clock)
    with pytest.raises(Overloaded):
        ledger.open(BEN).admit(161)
    entry.close()
    assert is_empty(ledger)
    ledger.open(BEN).admit(200)


def test_a_rate_is_forgotten_when_more_is_done_and_never_the_limit(clock: Clock) -> None:
    ledger, entry = saturated_ledger(clock)
    entry.close()
    fast = ledger.open(BEN)
    fast.admit(200)
    for _ in range(199):
        fast.send(1)
        clock.now += 0.001
        fast.answered(1)
    with pytest.raises(Overloaded):
        ledger.open(ANN).admit(1000)
    ledger.open(ANN).admit(400)


def test_without_a_longest_wait_the_limit_holds_alone(clock: Clock) -> None:
    ledger = Ledger(max_bytes=1, max_tokens=1000, small_tokens=1, clock=clock)
    entry = ledger.open(ANN)
    entry.admit(100)
    entry.send(10)
    clock.now += 1
    entry.answered(10)
    ledger.open(BEN).admit(400)


def test_what_is_repeated_stands_in_its_lane_as_often_as_it_is_given_back(clock: Clock) -> None:
    ledger, entry = saturated_ledger(clock)
    entry.send(40)
    entry.repeat(40)
    entry.send(40)
    for _ in range(2):
        clock.now += 4
        entry.answered(40)
    entry.close()
    ledger.open(BEN).admit(200)
    with pytest.raises(Overloaded):
        ledger.open(ANN).admit(2)
