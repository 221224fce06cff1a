"""Turns of works: new ones soon, long ones in the end, each alone in its failure."""

import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing

import pytest

from export.steps.turns import TURN_SECONDS, Queue, Slices, Work, Workers

PATIENCE_SECONDS = 10


def slices(count: int, result: str = "done", *, is_long: bool = False) -> Slices[str]:
    """Work that yields so often, in no time."""
    for _ in range(count):
        yield is_long
    return result


def slow_slices(count: int) -> Slices[str]:
    for _ in range(count):
        time.sleep(TURN_SECONDS / 2)
        yield False
    return "done"


def failing_slices() -> Slices[str]:
    yield False
    raise ValueError("no such text")


def make_work(count: int, *, is_long: bool = False) -> Work[str]:
    return Work(slices(count, is_long=is_long))


def test_short_slices_are_done_in_one_turn() -> None:
    work = make_work(5)

    work.take_turn()

    assert work.result.result(0) == "done"


def test_a_turn_ends_when_its_time_is_over() -> None:
    work = Work(slow_slices(9))
    turns_taken = 0

    while not work.result.done():
        work.take_turn()
        turns_taken += 1

    assert 3 <= turns_taken <= 10
    assert work.result.result(0) == "done"


def test_a_turn_ends_before_a_slice_that_may_be_long() -> None:
    work = make_work(2, is_long=True)

    work.take_turn()
    assert not work.result.done()
    work.take_turn()
    assert not work.result.done()
    work.take_turn()
    assert work.result.result(0) == "done"


def test_an_error_is_the_result() -> None:
    work = Work(failing_slices())

    work.take_turn()

    with pytest.raises(ValueError, match="no such text"):
        work.result.result(0)


def test_nobody_can_take_a_work_back() -> None:
    assert not make_work(1).result.cancel()


def taken(queue: Queue, count: int) -> list[Work[str]]:
    return [queue.take() for _ in range(count)]


def test_new_works_are_next_in_their_order() -> None:
    queue, works = Queue(places=1), [make_work(1) for _ in range(3)]
    assert not queue
    for work in works:
        queue.add(work)

    assert queue
    assert works == taken(queue, 3)
    assert not queue


def test_what_is_not_done_waits_for_another_turn() -> None:
    queue, work = Queue(places=1), make_work(1)
    queue.add(work)

    queue.put_back(queue.take())
    assert queue
    assert work is queue.take()
    work.take_turn()
    queue.put_back(work)
    assert not queue


def test_what_is_done_in_its_first_turn_is_over() -> None:
    queue, work = Queue(places=1), make_work(0)
    queue.add(work)
    queue.take().take_turn()
    queue.put_back(work)

    assert not queue


def begun(queue: Queue, count: int) -> list[Work[str]]:
    works = [make_work(9) for _ in range(count)]
    for work in works:
        queue.add(work)
    for work in taken(queue, count):
        queue.put_back(work)
    return works


def test_works_that_have_begun_take_turns_in_their_order() -> None:
    queue = Queue(places=1)
    first, second = begun(queue, 2)

    for expected in (first, second, first, second):
        assert expected is queue.take()
        queue.put_back(expected)


def test_they_never_hold_more_workers_than_there_are_places() -> None:
    queue = Queue(places=2)
    works = begun(queue, 3)

    assert works[:2] == taken(queue, 2)
    assert not queue
    queue.add(new := make_work(1))
    assert queue
    assert new is queue.take()
    assert not queue
    queue.put_back(works[0])
    assert works[2] is queue.take()


def test_new_ones_and_those_that_have_begun_are_next_in_turns() -> None:
    queue = Queue(places=1)
    (long,) = begun(queue, 1)
    news = [make_work(1) for _ in range(3)]
    for work in news:
        queue.add(work)

    order = []
    for _ in range(5):
        order.append(queue.take())
        if order[-1] is long:
            queue.put_back(long)

    assert [long, news[0], long, news[1], long] == order


def test_without_a_place_for_the_others_new_ones_are_next() -> None:
    queue = Queue(places=1)
    works = begun(queue, 2)
    assert works[0] is queue.take()
    news = [make_work(1) for _ in range(2)]
    for work in news:
        queue.add(work)

    assert news == taken(queue, 2)


@pytest.fixture(params=[1, 2, 4])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    with closing(Workers(request.param)) as workers:
        yield workers


def test_every_work_gets_its_result(workers: Workers) -> None:
    futures = [workers.submit(slices(count % 7, f"{count}")) for count in range(200)]

    assert [f"{count}" for count in range(200)] == [f.result(PATIENCE_SECONDS) for f in futures]


def test_one_that_fails_fails_alone(workers: Workers) -> None:
    good, bad, better = (workers.submit(work) for work in (slices(1), failing_slices(), slices(1)))

    assert good.result(PATIENCE_SECONDS) == better.result(PATIENCE_SECONDS) == "done"
    with pytest.raises(ValueError, match="no such text"):
        bad.result(PATIENCE_SECONDS)


def gated(gate: threading.Event, begun: threading.Event) -> Slices[str]:
    """One slice that ends when the gate opens, after a first one."""
    yield True
    begun.set()
    assert gate.wait(PATIENCE_SECONDS)
    return "late"


def test_a_new_work_does_not_wait_for_a_long_slice() -> None:
    """Of several workers one stays free however many long slices there are."""
    gate, running = threading.Event(), threading.Event()
    with closing(Workers(2)) as workers:
        long = [workers.submit(gated(gate, running)) for _ in range(3)]
        assert running.wait(PATIENCE_SECONDS)

        assert workers.submit(slices(3)).result(PATIENCE_SECONDS) == "done"
        assert not any(future.done() for future in long)
        gate.set()
        assert ["late"] * 3 == [future.result(PATIENCE_SECONDS) for future in long]


@pytest.mark.parametrize(("count", "together"), [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_all_workers_but_one_do_what_is_long(count: int, together: int) -> None:
    gate = threading.Event()
    running = [threading.Event() for _ in range(count + 1)]
    with closing(Workers(count)) as workers:
        futures = [workers.submit(gated(gate, event)) for event in running]
        for event in running[:together]:
            assert event.wait(PATIENCE_SECONDS)
        time.sleep(0.05)
        assert together == sum(event.is_set() for event in running)
        gate.set()
        assert ["late"] * len(futures) == [f.result(PATIENCE_SECONDS) for f in futures]


def test_long_works_come_to_an_end_however_many_are_new() -> None:
    """The one worker goes on with what has begun every other time."""
    done = threading.Event()

    def many() -> Generator[bool, None, str]:
        for _ in range(20):
            yield True
        done.set()
        return "done"

    with closing(Workers(1)) as workers:
        long = workers.submit(many())
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done.is_set() and time.monotonic() < deadline:
            for future in [workers.submit(slices(1)) for _ in range(10)]:
                future.result(PATIENCE_SECONDS)
        assert long.result(PATIENCE_SECONDS) == "done"


def test_closing_waits_for_all_that_was_asked_for() -> None:
    workers = Workers(2)
    futures = [workers.submit(slow_slices(5)) for _ in range(5)]

    workers.close()

    assert all(future.done() for future in futures)


def test_closed_workers_have_ended() -> None:
    before = threading.active_count()
    workers = Workers(3)
    assert before + 3 == threading.active_count()

    workers.close()

    assert before == threading.active_count()


@pytest.mark.parametrize(("cores", "count"), [(1, 2), (2, 2), (3, 3), (4, 4), (64, 4)])
def test_two_to_four_workers_by_the_cores(
    cores: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patched because the number of cores is the machine's.
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    before = threading.active_count()

    with closing(Workers()):
        assert before + count == threading.active_count()
