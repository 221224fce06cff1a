"""Whose turn it is, by tokens; no clock is involved."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import repeat

import pytest

from gateway.access.keys import Caller
from gateway.errors import TritonUnavailable
from gateway.inference.lanes import MAX_IDLE_CALLERS, Lane, Lanes, Turns
from gateway.inference.windows import Load, Window, Windows, Wish

pytestmark = pytest.mark.anyio

ANN, BEN = Caller(b"", "ann"), Caller(b"", "ben")


class Desk:
    """Stands for Triton: answers the chunks of a lane in the order of their arrival."""

    def __init__(self, lane: Lane) -> None:
        self.arrived: list[tuple[Caller, int]] = []
        self._lane = lane
        self._answers: list[asyncio.Event] = []
        self._running: set[asyncio.Task[None]] = set()

    def ask(self, caller: Caller, *chunks: int) -> list[asyncio.Task[None]]:
        """One call: all its chunks at once."""
        tasks = [asyncio.create_task(self._pass(caller, tokens)) for tokens in chunks]
        self._running.update(tasks)
        return tasks

    async def _pass(self, caller: Caller, tokens: int) -> None:
        await self._lane.take(caller, tokens)
        try:
            self.arrived.append((caller, tokens))
            self._answers.append(answer := asyncio.Event())
            await answer.wait()
        finally:
            self._lane.give_back(tokens)

    async def answer(self) -> None:
        """Answers the oldest chunk, and lets what follows from it happen."""
        self._answers.pop(0).set()
        await settle()

    async def answer_all(self) -> None:
        while self._answers:
            await self.answer()


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


@pytest.fixture
def lane() -> Lane:
    return Lane(window_tokens=100)


@pytest.fixture
def desk(lane: Lane) -> Desk:
    return Desk(lane)


async def test_what_fits_the_window_goes_at_once_and_the_rest_waits(desk: Desk, lane: Lane) -> None:
    desk.ask(ANN, 60, 40, 30)
    await settle()
    assert ([(ANN, 60), (ANN, 40)], 30) == (desk.arrived, lane.waiting_tokens)
    await desk.answer()
    assert ((ANN, 30), 0) == (desk.arrived[-1], lane.waiting_tokens)
    await desk.answer_all()


async def test_a_chunk_above_the_window_goes_alone(desk: Desk) -> None:
    desk.ask(ANN, 10, 500, 10)
    await settle()
    for count in (1, 2, 3):
        assert count == len(desk.arrived)
        await desk.answer()


async def test_callers_alternate_by_tokens_whatever_the_size_of_their_chunks(desk: Desk) -> None:
    desk.ask(ANN, *[50] * 40)
    desk.ask(BEN, *[10] * 200)
    await settle()
    for _ in range(100):
        await desk.answer()
    served = Counter[Caller]()
    for caller, tokens in desk.arrived:
        served[caller] += tokens
    assert abs(served[ANN] - served[BEN]) <= 100
    await desk.answer_all()


async def test_callers_of_unequal_calls_get_equal_tokens(desk: Desk) -> None:
    """Each sends its next call when all chunks of the last are answered."""
    sizes = {ANN: [25] * 60, BEN: [25] * 6}
    waiting: dict[Caller, list[asyncio.Task[None]]] = {ANN: [], BEN: []}
    for _ in range(600):
        for caller, tasks in waiting.items():
            if all(task.done() for task in tasks):
                waiting[caller] = desk.ask(caller, *sizes[caller])
        await settle()
        await desk.answer()
    served = Counter(caller for caller, _ in desk.arrived)
    assert 0.9 < served[BEN] / served[ANN] <= 1.1
    await desk.answer_all()


async def test_a_key_gets_no_more_for_its_many_connections(desk: Desk) -> None:
    for connection in range(9):
        desk.ask(Caller(b"many", connection), *[10] * 50)
    desk.ask(Caller(b"one", "only"), *[10] * 200)
    await settle()
    for _ in range(200):
        await desk.answer()
    served = Counter(caller.key for caller, _ in desk.arrived)
    assert abs(served[b"many"] - served[b"one"]) <= 10
    by_connection = Counter(caller for caller, _ in desk.arrived if caller.key == b"many")
    assert max(by_connection.values()) - min(by_connection.values()) <= 2
    await desk.answer_all()


async def test_a_cancelled_chunk_leaves_no_trace(desk: Desk, lane: Lane) -> None:
    desk.ask(ANN, 100)
    (waiting,) = desk.ask(BEN, 100)
    desk.ask(ANN, 20)
    await settle()
    waiting.cancel()
    await settle()
    assert 20 == lane.waiting_tokens
    await desk.answer()
    assert [(ANN, 100), (ANN, 20)] == desk.arrived
    await desk.answer_all()


async def test_a_cancelled_running_chunk_gives_its_place_back(desk: Desk) -> None:
    (running,) = desk.ask(ANN, 100)
    desk.ask(BEN, 100)
    await settle()
    running.cancel()
    await settle()
    assert [(ANN, 100), (BEN, 100)] == desk.arrived
    await desk.answer_all()


@pytest.mark.parametrize("order", [1, -1], ids=["running first", "waiting first"])
async def test_a_call_cancelled_with_all_its_chunks_gives_all_places_back(
    desk: Desk, lane: Lane, order: int
) -> None:
    chunks = desk.ask(ANN, 100, 100, 100)
    await settle()
    for chunk in chunks[::order]:  # as a TaskGroup does, before any of them runs on
        chunk.cancel()
    await settle()

    desk.ask(BEN, 100)
    await settle()
    assert desk.arrived[-1] == (BEN, 100)
    assert lane.waiting_tokens == 0
    assert all(chunk.cancelled() for chunk in chunks)


async def test_a_chunk_cancelled_when_its_turn_has_come_passes_it_on(
    desk: Desk, lane: Lane
) -> None:
    await lane.take(ANN, 100)
    (next_one,) = desk.ask(BEN, 100)
    desk.ask(ANN, 100)
    await settle()
    lane.give_back(100)
    next_one.cancel()  # given its turn just now, and not yet run on
    await settle()
    assert ([(ANN, 100)], 0) == (desk.arrived, lane.waiting_tokens)
    await desk.answer_all()


async def test_the_head_of_the_queue_is_not_overtaken(desk: Desk) -> None:
    """Else a big chunk would wait for ever beside small ones."""
    desk.ask(ANN, 60)
    desk.ask(BEN, 80)
    desk.ask(BEN, 10)
    await settle()
    assert [(ANN, 60)] == desk.arrived
    await desk.answer()
    assert [(ANN, 60), (BEN, 80), (BEN, 10)] == desk.arrived
    await desk.answer_all()


def ask_in_turns(turns: Turns[str], waiting: list[str], tokens: Iterator[int]) -> list[str]:
    served = []
    for amount, _ in zip(tokens, range(6), strict=False):
        served.append(turns.next(waiting))
        turns.charge(served[-1], amount)
    return served


def test_who_was_away_catches_up_to_the_credit_and_no_further() -> None:
    turns: Turns[str] = Turns(credit_tokens=20)
    for _ in range(100):
        turns.charge("busy", 10)
    assert ["new", "new", "new", "new", "busy", "new"] == ask_in_turns(
        turns, ["new", "busy"], repeat(10)
    )


def test_who_catches_up_does_not_turn_the_time_back() -> None:
    """A newcomer is not nearer to the beginning because another one was served before."""
    turns: Turns[str] = Turns(credit_tokens=20)
    for _ in range(100):
        turns.charge("busy", 10)
    turns.charge("first", 5)
    assert ["second", "second", "first", "second"] == ask_in_turns(
        turns, ["first", "second"], iter([3, 3, 3, 3])
    )


def test_callers_gone_are_forgotten() -> None:
    turns: Turns[int] = Turns(credit_tokens=10)
    for caller in range(3 * MAX_IDLE_CALLERS):
        turns.charge(caller, 10)
        turns.charge(-1, 1000)
    assert len(turns._served) <= MAX_IDLE_CALLERS == 4096
    assert turns.next([-1, -2]) == -2  # who was served most is remembered


def test_who_is_not_that_far_ahead_is_remembered_too() -> None:
    turns: Turns[int] = Turns(10)
    turns.charge(-1, 5)
    for caller in range(MAX_IDLE_CALLERS):
        turns.charge(caller, 1)
    assert turns.next([-1, -2]) == -2


def test_the_size_of_the_whole_call_decides_its_lane() -> None:
    lanes = Lanes(Windows(small_call=50))
    assert lanes.lane_of(50) is lanes.lane_of(1) is lanes.interactive
    assert lanes.lane_of(51) is lanes.lane_of(10_000) is lanes.bulk


async def test_each_lane_has_its_own_window() -> None:
    lanes = Lanes(Windows(bulk=100, interactive=10))
    for lane, window in ((lanes.bulk, 100), (lanes.interactive, 10)):
        await lane.take(ANN, window)
        next_one = asyncio.create_task(lane.take(ANN, 1))
        await settle()
        assert (window, 1) == (lane.in_flight_tokens, lane.waiting_tokens)
        lane.give_back(window)
        await next_one
        assert (1, 0) == (lane.in_flight_tokens, lane.waiting_tokens)


async def test_a_model_on_a_gpu_gets_windows_of_several_micro_batches() -> None:
    lanes = Lanes(Windows(bulk=100, interactive=70))

    lanes.fit(30)

    assert (120, 70) == (lanes.bulk.window_tokens, lanes.interactive.window_tokens)
    assert 120 == lanes.bulk._keys.credit_tokens  # what a caller falls behind grows with it
    await lanes.bulk.take(ANN, 100)
    await lanes.bulk.take(ANN, 20)  # waits for nobody
    lanes.fit(128 // 8)  # another edition, for a CPU
    assert (100, 70) == (lanes.bulk.window_tokens, lanes.interactive.window_tokens)


async def test_what_was_guessed_too_low_is_charged(desk: Desk, lane: Lane) -> None:
    desk.ask(ANN, 100)
    await settle()
    lane.charge(ANN, 60)
    desk.ask(ANN, 20, 20)
    desk.ask(BEN, *[20] * 6)
    await settle()
    while len(desk.arrived) < 9:
        await desk.answer()
    # Both begin with a credit of 100; ANN has had 160 of 100.
    assert [BEN] * 5 == [caller for caller, _ in desk.arrived[1:6]]
    await desk.answer_all()


async def test_a_caller_who_left_lets_others_go_on(desk: Desk, lane: Lane) -> None:
    """The head of the queue does not fit; once it has left, what is behind it may."""
    desk.ask(ANN, 60)
    (head,) = desk.ask(BEN, 80)
    desk.ask(ANN, 40)
    await settle()
    assert [(ANN, 60)] == desk.arrived
    head.cancel()
    await settle()
    assert [(ANN, 60), (ANN, 40)] == desk.arrived
    await desk.answer_all()


class Tritons:
    """Windows of 100 tokens at three Tritons, and a lane before them."""

    def __init__(self) -> None:
        self.windows = {name: Window(100, Load(name)) for name in "abc"}
        self.gone: set[str] = set()
        self.lane = Lane(0, self.find)

    def find(self, wish: Wish) -> list[Window]:
        found = [
            window
            for name, window in self.windows.items()
            if name not in self.gone | wish.tried and wish.edition in ("", name)
        ]
        if not found:
            raise TritonUnavailable("gone")
        return found

    def ask(self, tokens: int, edition: str = "", tried: str = "") -> asyncio.Task[Window]:
        wish = Wish(edition, frozenset(tried))
        return asyncio.create_task(self.lane.take(ANN, tokens, wish))


@pytest.fixture
def tritons() -> Tritons:
    return Tritons()


async def test_a_chunk_goes_to_the_triton_with_the_least_to_do(tritons: Tritons) -> None:
    for tokens, name in ((50, "a"), (30, "b"), (20, "c"), (20, "c"), (20, "b"), (60, "c")):
        window = await tritons.lane.take(ANN, tokens)
        assert name == window.load.name
    assert 200 == tritons.lane.in_flight_tokens


async def test_what_has_no_room_there_goes_to_another(tritons: Tritons) -> None:
    tritons.windows["b"].load.tokens = tritons.windows["c"].load.tokens = 500  # other models
    await tritons.lane.take(ANN, 60)
    assert "b" == (await tritons.lane.take(ANN, 60)).load.name


async def test_who_wants_one_edition_holds_up_nobody_who_wants_another(tritons: Tritons) -> None:
    await tritons.lane.take(ANN, 100, Wish("a"))
    waiting = tritons.ask(10, edition="a")
    await settle()
    assert "b" == (await tritons.ask(10, edition="b")).load.name
    tritons.lane.give_back(100, tritons.windows["a"])
    assert "a" == (await waiting).load.name


async def test_what_was_lost_once_goes_first(tritons: Tritons) -> None:
    tritons.gone = {"c"}
    for name in "ab":
        await tritons.lane.take(ANN, 100, Wish(name))
    first, again = tritons.ask(60), tritons.ask(60, tried="a")
    await settle()
    tritons.lane.give_back(100, tritons.windows["b"])
    await settle()
    assert (False, "b") == (first.done(), again.result().load.name)
    tritons.lane.give_back(100, tritons.windows["a"])
    assert "a" == (await first).load.name


async def test_who_waits_for_a_triton_that_is_gone_is_told(tritons: Tritons) -> None:
    await tritons.lane.take(ANN, 100, Wish("a"))
    waiting = [tritons.ask(10, edition="a") for _ in range(2)]
    await settle()
    tritons.gone = {"a"}
    tritons.lane.hand_out()
    for task in waiting:
        with pytest.raises(TritonUnavailable):
            await task
    assert 0 == tritons.lane.waiting_tokens
    assert {} == tritons.lane._waiting
