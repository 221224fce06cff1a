"""Continuous batching: every text once, in order, under the budget, and nobody left waiting."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from itertools import islice
from queue import Empty, Queue
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from export.steps.batching import (
    LOOK,
    QUIET,
    WIDE,
    Backlog,
    Batcher,
    Request,
    Slice,
    even_budget,
)
from export.steps.memory import Memory

PATIENCE_SECONDS = 10
MANY = 2500  # requests, far more than a choice looks at


class SumEncoder:
    """Each text's vector is the sum of its ids and its length; fails on an id below zero."""

    def __init__(self, threads: int, shares_device: bool = False) -> None:
        self.threads = threads
        self.shares_device = shares_device
        self.alone = 0

    def embed(
        self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        self.alone += 1
        return self.embed_beside(input_ids, seq_lens)

    def embed_beside(
        self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        if input_ids.min() < 0:
            raise RuntimeError("negative")
        texts = np.split(input_ids, np.cumsum(seq_lens)[:-1])
        return np.array([[text.sum(), len(text)] for text in texts], dtype=np.float32)


class GatedEncoder(SumEncoder):
    """Ends only when the gate opens; tells when it began, and with how many tokens."""

    def __init__(self, threads: int, shares_device: bool = False) -> None:
        super().__init__(threads, shares_device)
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.sizes: list[int] = []

    def embed_beside(
        self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        self.sizes.append(len(input_ids))
        self.begun.release()
        self.gate.wait(PATIENCE_SECONDS)
        return super().embed_beside(input_ids, seq_lens)


class ConductedEncoder(SumEncoder):
    """Tells the longest text of each micro-batch that begins, and ends it when allowed."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.begun: Queue[int] = Queue()
        self.allowed: defaultdict[int, threading.Event] = defaultdict(threading.Event)

    def embed_beside(
        self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        longest = int(seq_lens.max())
        self.begun.put(longest)
        self.allowed[longest].wait(PATIENCE_SECONDS)
        return super().embed_beside(input_ids, seq_lens)

    def next_two(self) -> set[int]:
        return {self.begun.get(timeout=PATIENCE_SECONDS) for _ in range(2)}


def memory_of(mib: int = 10**6, workers: int = 2) -> Memory:
    """A MiB a token; half of it in shares, half in turns."""
    return Memory(lambda tokens: tokens * 2**20, workers, mib)


def draw_texts(seed: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    rng = np.random.default_rng(seed)
    seq_lens = rng.integers(1, 60, size=count).astype(np.int32)
    return rng.integers(0, 1000, size=seq_lens.sum()), seq_lens


def one_text(length: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    return np.ones(length, dtype=np.int64), np.array([length], dtype=np.int32)


def make_request(*lengths: int) -> Request:
    input_ids, seq_lens = np.zeros(sum(lengths), dtype=np.int64), np.array(lengths, dtype=np.int32)
    return Request(input_ids, seq_lens, Future())


class WatchedRequest(Request):
    """Notes when anybody looks at it."""

    seen: ClassVar[set[int]] = set()

    def __getattribute__(self, name: str) -> Any:
        type(self).seen.add(id(self))
        return super().__getattribute__(name)


def lengths_of(micro_batch: Sequence[Slice]) -> list[list[int]]:
    return [part.seq_lens.tolist() for part in micro_batch]


def drain(backlog: Backlog) -> Iterator[list[list[int]]]:
    """The lengths that each request gives, micro-batch by micro-batch."""
    while backlog:
        yield lengths_of(backlog.take(workers=1))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("max_tokens", [1, 16, 512, 10**9])
@pytest.mark.parametrize("counts", [[1], [2], [100], [1, 1, 40, 3, 1]])
@pytest.mark.parametrize("shares_device", [False, True], ids=["cores", "one device"])
def test_each_text_gets_its_own_embedding_in_order(
    shares_device: bool, counts: Sequence[int], max_tokens: int, threads: int
) -> None:
    calls = [draw_texts(seed, count) for seed, count in enumerate(counts)]
    encoder = SumEncoder(threads, shares_device)
    with closing(Batcher(encoder, max_tokens, memory_of())) as batcher:
        futures = [batcher.submit(*call) for call in calls]
        for call, future in zip(calls, futures, strict=True):
            expected = encoder.embed_beside(*call)
            np.testing.assert_array_equal(expected, future.result(PATIENCE_SECONDS))


@pytest.mark.parametrize(
    ("lengths", "expected"), [([2, 1], [[3, 2], [3, 1]]), ([3], [[6, 3]])], ids=["two", "one"]
)
def test_what_was_given_may_be_overwritten(lengths: list[int], expected: list[list[int]]) -> None:
    encoder = GatedEncoder(threads=1)
    input_ids, seq_lens = np.array([1, 2, 3]), np.array(lengths, dtype=np.int32)
    with closing(Batcher(encoder, max_tokens=16, memory=memory_of())) as batcher:
        batcher.submit(*one_text(1))
        assert encoder.begun.acquire(timeout=PATIENCE_SECONDS)  # so the next ones wait
        futures = [batcher.submit(input_ids, seq_lens) for _ in range(2)]
        input_ids[:] = -1
        seq_lens[:] = -1
        encoder.gate.set()
        for future in futures:
            assert expected == future.result(PATIENCE_SECONDS).tolist()


@pytest.mark.parametrize(
    ("input_ids", "seq_lens"),
    [([], []), ([1, 2], [1]), ([1], [1, 1]), ([1], [0, 1]), ([], [0]), ([1], [2])],
    ids=[
        "no text",
        "tokens of no text",
        "texts without tokens",
        "a text without tokens",
        "one text without tokens",
        "one text of too few tokens",
    ],
)
def test_lengths_that_do_not_fit_the_tokens_are_refused(
    input_ids: list[int], seq_lens: list[int]
) -> None:
    with pytest.raises(ValueError, match="SEQ_LENS"):
        Request(np.array(input_ids, dtype=np.int64), np.array(seq_lens, dtype=np.int32), Future())


def test_an_error_reaches_those_it_concerns_and_no_others() -> None:
    long = np.zeros(40, dtype=np.int64), np.array([20, 20], dtype=np.int32)
    with closing(Batcher(SumEncoder(threads=2), max_tokens=16, memory=memory_of())) as batcher:
        bad = batcher.submit(-long[0] - 1, long[1])
        good = batcher.submit(*long)
        with pytest.raises(RuntimeError, match="negative"):
            bad.result(PATIENCE_SECONDS)
        assert good.result(PATIENCE_SECONDS).tolist() == [[0, 20], [0, 20]]


def test_a_request_fails_once_though_all_its_micro_batches_do() -> None:
    encoder = GatedEncoder(threads=2)
    with closing(Batcher(encoder, max_tokens=16, memory=memory_of())) as batcher:
        bad = batcher.submit(np.full(40, -1), np.array([10, 10, 10, 10], dtype=np.int32))
        for _ in range(2):  # both halves of what may run are at it
            assert encoder.begun.acquire(timeout=PATIENCE_SECONDS)
        encoder.gate.set()
        with pytest.raises(RuntimeError, match="negative"):
            bad.result(PATIENCE_SECONDS)
        good = batcher.submit(*draw_texts(0, 1))
        assert len(good.result(PATIENCE_SECONDS)) == 1
    assert encoder.begun.acquire(blocking=False)  # the good one
    assert not encoder.begun.acquire(blocking=False)  # the rest of the bad one was dropped


def test_an_encoder_that_loses_a_text_fails_the_request() -> None:
    class Forgetful(SumEncoder):
        def embed_beside(
            self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
        ) -> NDArray[np.float32]:
            return super().embed_beside(input_ids, seq_lens)[1:]

    with closing(Batcher(Forgetful(threads=1), max_tokens=16, memory=memory_of())) as batcher:
        future = batcher.submit(np.zeros(4, dtype=np.int64), np.array([2, 2], dtype=np.int32))
        with pytest.raises(ValueError, match="1 embeddings for 2 texts"):
            future.result(PATIENCE_SECONDS)


def test_a_lone_text_has_all_threads_and_what_comes_meanwhile_waits_for_it() -> None:
    encoder = GatedEncoder(threads=2)
    with closing(Batcher(encoder, max_tokens=16, memory=memory_of())) as batcher:
        lone = batcher.submit(*draw_texts(0, 1))
        assert encoder.begun.acquire(timeout=PATIENCE_SECONDS)
        later = [batcher.submit(*draw_texts(seed, 1)) for seed in (1, 2)]
        assert not encoder.begun.acquire(timeout=0.1)
        assert encoder.alone == 1
        encoder.gate.set()
        for future in (lone, *later):
            future.result(PATIENCE_SECONDS)


def test_workers_that_share_a_device_run_beside_a_lone_text() -> None:
    encoder = GatedEncoder(threads=2, shares_device=True)
    with closing(Batcher(encoder, max_tokens=16, memory=memory_of())) as batcher:
        futures = []
        for seed in (0, 1):
            futures.append(batcher.submit(*draw_texts(seed, 1)))
            assert encoder.begun.acquire(timeout=PATIENCE_SECONDS)
        encoder.gate.set()
        for future in futures:
            future.result(PATIENCE_SECONDS)
    assert encoder.alone == 0


def test_workers_that_share_a_device_run_all_that_the_budget_allows() -> None:
    encoder = GatedEncoder(threads=2, shares_device=True)
    with closing(Batcher(encoder, max_tokens=20, memory=memory_of())) as batcher:
        lone = batcher.submit(np.ones(50, dtype=np.int64), np.full(5, 10, dtype=np.int32))
        for _ in range(2):  # both at once
            assert encoder.begun.acquire(timeout=PATIENCE_SECONDS)
        assert [20, 20] == encoder.sizes
        encoder.gate.set()
        assert [[10, 10]] * 5 == lone.result(PATIENCE_SECONDS).tolist()
    assert [20, 20, 10] == encoder.sizes
    assert encoder.alone == 0


def test_who_does_not_take_an_answer_ends_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    class Gone:
        def set_result(self, embeddings: NDArray[np.float32], /) -> None:
            raise RuntimeError("gone")

        def set_exception(self, error: Exception, /) -> None:
            raise error

    with closing(Batcher(SumEncoder(threads=1), 16, memory_of())) as batcher:
        batcher.submit_for(Gone(), *one_text(1))
        assert [[2, 2]] == batcher.submit(*one_text(2)).result(PATIENCE_SECONDS).tolist()
    assert ["an answer could not be given"] == [record.message for record in caplog.records]


def test_who_is_slow_to_take_an_answer_holds_up_no_other_worker() -> None:
    encoder = ConductedEncoder(threads=2)
    taken = threading.Event()
    with closing(Batcher(encoder, 16, memory_of())) as batcher:
        lone = batcher.submit(*one_text(1))
        lone.add_done_callback(lambda _: taken.wait(PATIENCE_SECONDS))
        assert encoder.begun.get(timeout=PATIENCE_SECONDS) == 1
        other = batcher.submit(*one_text(2))
        encoder.allowed[1].set()
        assert encoder.begun.get(timeout=PATIENCE_SECONDS / 2) == 2
        taken.set()
        encoder.allowed[2].set()
        other.result(PATIENCE_SECONDS)


def test_nobody_takes_a_request_back() -> None:
    encoder = ConductedEncoder(threads=1)
    with closing(Batcher(encoder, 16, memory_of())) as batcher:
        future = batcher.submit(*one_text(1))
        assert not future.cancel()
        encoder.allowed[1].set()
        assert future.result(PATIENCE_SECONDS).tolist() == [[1, 1]]


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_closing_answers_what_waits_and_ends_every_worker(threads: int) -> None:
    encoder = GatedEncoder(threads)
    batcher = Batcher(encoder, max_tokens=16, memory=memory_of())
    lone = batcher.submit(*draw_texts(0, 1))
    assert encoder.begun.acquire(timeout=PATIENCE_SECONDS)
    closing_thread = threading.Thread(target=batcher.close, daemon=True)
    closing_thread.start()
    closing_thread.join(0.05)  # it waits for what runs
    encoder.gate.set()
    closing_thread.join(PATIENCE_SECONDS)
    assert not closing_thread.is_alive()
    assert lone.done()


def test_a_micro_batch_holds_texts_of_like_length_up_to_the_budget() -> None:
    backlog = Backlog(12, memory_of())
    backlog.add(make_request(9, 2, 8, 1, 9))
    assert list(drain(backlog)) == [[[9]], [[9]], [[8, 2, 1]]]


def test_whole_requests_of_like_length_fill_up() -> None:
    backlog = Backlog(40, memory_of())
    for lengths in ([30], [3], [20] * 4, [7]):
        backlog.add(make_request(*lengths))
    assert next(drain(backlog)) == [[30], [7], [3]]


def test_what_fills_up_fits_the_budget_together() -> None:
    backlog = Backlog(40, memory_of())
    for lengths in ([30], [7], [6], [20], [17]):
        backlog.add(make_request(*lengths))
    assert next(drain(backlog)) == [[30], [7]]


def test_a_request_that_just_fits_the_budget_is_small() -> None:
    backlog = Backlog(10, memory_of())
    for lengths in ([9, 9], [6, 4], [2]):
        backlog.add(make_request(*lengths))
    assert next(drain(backlog)) == [[6, 4]]


def test_the_oldest_of_the_small_requests_is_the_first_to_overtake() -> None:
    backlog = Backlog(10, memory_of())
    for lengths in ([10, 10], [8], [3, 3], [7]):
        backlog.add(make_request(*lengths))
    assert list(drain(backlog)) == [[[8]], [[10]], [[3, 3]], [[10]], [[7]]]


def test_small_requests_overtake_the_oldest_every_other_time() -> None:
    backlog = Backlog(10, memory_of())
    backlog.add(make_request(10, 10, 10))
    for _ in range(3):
        backlog.add(make_request(5, 4))
    assert list(drain(backlog)) == [[[5, 4]], [[10]], [[5, 4]], [[10]], [[5, 4]], [[10]]]


def test_two_idle_workers_share_what_waits() -> None:
    backlog = Backlog(256, memory_of())
    backlog.add(make_request(*[10] * 20))
    shares = [backlog.take(workers=2), backlog.take(workers=1)]
    assert [[len(part.seq_lens) for part in share] for share in shares] == [[10], [10]]
    assert not backlog


def test_micro_batches_on_cores_are_wide_while_no_small_request_comes() -> None:
    backlog = Backlog(10, memory_of())
    backlog.add(make_request(*[10] * (QUIET + 8)))
    narrow = list(islice(drain(backlog), QUIET))
    assert [[[10]]] * QUIET == narrow

    assert [[10] * WIDE] == lengths_of(backlog.take(workers=1))
    assert [[10]] == lengths_of(backlog.take(workers=None))  # a GPU's engines hold no more
    backlog.add(make_request(8))
    assert [[[8]], [[10]], [[10]]] == list(islice(drain(backlog), 3))


def test_what_failed_is_not_shared_among_workers() -> None:
    backlog = Backlog(256, memory_of())
    failed = make_request(*[10] * 40)
    backlog.add(failed)
    backlog.take(workers=2)
    backlog.add(make_request(*[10] * 4))
    backlog.discard([failed])

    assert [[10, 10]] == lengths_of(backlog.take(workers=2))
    assert [[10, 10]] == lengths_of(backlog.take(workers=1))
    assert not backlog


def test_a_query_overtakes_however_many_wait() -> None:
    backlog = Backlog(10, memory_of())
    for _ in range(MANY):
        backlog.add(make_request(9, 9))
    backlog.add(make_request(8))
    backlog.add(make_request(7))

    assert [[[8]], [[9]], [[7]], [[9]], [[9]]] == list(islice(drain(backlog), 5))


def test_the_oldest_is_next_every_other_time_however_many_overtake() -> None:
    backlog = Backlog(10, memory_of())
    backlog.add(make_request(9, 8, 7))
    for _ in range(MANY):
        backlog.add(make_request(6))

    firsts = [micro_batch[0] for micro_batch in islice(drain(backlog), 7)]
    assert [[6], [9], [6], [8], [6], [7], [6]] == firsts


def test_a_query_passes_however_many_wait_for_memory() -> None:
    backlog = Backlog(10, memory_of(mib=80))
    for _ in range(MANY):
        backlog.add(make_request(30))
    backlog.take(workers=1)
    assert not backlog.is_ready
    backlog.add(make_request(8))

    assert [[8]] == lengths_of(backlog.take(workers=1))


@pytest.mark.parametrize(
    ("before", "expected"),
    [(LOOK - 1, [[30], [10]]), (LOOK, [[30], [5], [5]])],
    ids=["seen", "too far behind"],
)
def test_what_fills_up_is_sought_among_the_oldest(before: int, expected: list[list[int]]) -> None:
    backlog = Backlog(40, memory_of())
    backlog.add(make_request(30))
    for _ in range(before):
        backlog.add(make_request(5))
    backlog.add(make_request(10))

    assert expected == lengths_of(backlog.take(workers=None))


@pytest.mark.parametrize("lengths", [[3], [9, 9]], ids=["small", "bulk"])
def test_a_choice_looks_at_few_however_many_wait(lengths: list[int]) -> None:
    backlog = Backlog(10, memory_of())
    for _ in range(MANY):
        input_ids = np.zeros(sum(lengths), dtype=np.int64)
        backlog.add(WatchedRequest(input_ids, np.array(lengths, dtype=np.int32), Future()))
    WatchedRequest.seen.clear()
    backlog.take(workers=2)

    assert 1 <= len(WatchedRequest.seen) <= LOOK + 1


def test_who_gave_its_large_texts_is_still_the_oldest() -> None:
    backlog = Backlog(10, memory_of(mib=80))  # 20 for each of two workers
    for lengths in ([30, 5, 5], [8, 8]):
        backlog.add(make_request(*lengths))

    taken = [lengths_of(backlog.take(workers=None)) for _ in range(4)]
    assert [[[30]], [[5, 5]], [[8]], [[8]]] == taken


def test_a_micro_batch_has_no_more_texts_than_a_share_holds() -> None:
    backlog = Backlog(100, memory_of(mib=80))  # 20 for each of two workers
    backlog.add(make_request(9, 9, 9, 3, 3, 3, 3, 3, 3, 3))

    assert [[[9, 9]], [[9, 3]], [[3] * 6]] == list(drain(backlog))


def test_what_fills_up_fits_the_share_too() -> None:
    backlog = Backlog(30, memory_of(mib=80))
    for lengths in ([9], [11], [9], [7]):
        backlog.add(make_request(*lengths))

    assert [[[9], [9]], [[11]], [[7]]] == list(drain(backlog))


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([[5], [6, 5]], [[[5], [6, 5]]]),
        ([[5], [6, 6, 6]], [[[5]], [[6, 6, 6]]]),
        ([[10], [3], [3]], [[[10], [3]], [[3]]]),
    ],
    ids=["all fit", "the others are longer", "the first is longer"],
)
def test_every_text_counts_with_the_length_of_the_longest(
    requests: list[list[int]], expected: list[list[list[int]]]
) -> None:
    backlog = Backlog(30, memory_of(mib=80))
    for lengths in requests:
        backlog.add(make_request(*lengths))

    assert expected == list(drain(backlog))


def test_of_a_request_only_the_texts_that_wait_count() -> None:
    backlog = Backlog(18, memory_of(mib=108))  # 27 for each of two workers
    backlog.add(make_request(9, 9, 1))
    assert [[9]] == lengths_of(backlog.take(workers=1))
    backlog.add(make_request(8))

    assert [[[8], [9, 1]]] == list(drain(backlog))


def test_large_texts_take_turns_and_others_pass() -> None:
    backlog = Backlog(10, memory_of(mib=80))
    for lengths in ([30], [25], [3], [4]):
        backlog.add(make_request(*lengths))

    assert [[3], [4]] == lengths_of(backlog.take(workers=1))
    first = backlog.take(workers=1)
    assert [[30]] == lengths_of(first)
    assert not backlog.is_ready  # 25 beside 30 is more than half of 80
    backlog.add(make_request(5))
    assert [[5]] == lengths_of(backlog.take(workers=1))
    backlog.leave(first)
    assert [[25]] == lengths_of(backlog.take(workers=1))


def test_a_large_text_that_waits_is_not_passed_by_a_large_one() -> None:
    backlog = Backlog(10, memory_of(mib=80, workers=4))  # 10 a share, 40 for turns
    for lengths in ([20], [30], [15]):
        backlog.add(make_request(*lengths))

    first = backlog.take(workers=1)
    assert not backlog.is_ready  # though 15 is free
    backlog.leave(first)
    second = backlog.take(workers=1)
    assert [[30]] == lengths_of(second)
    backlog.leave(second)
    assert [[15]] == lengths_of(backlog.take(workers=1))
    assert not backlog


def test_large_texts_run_side_by_side_where_there_is_room() -> None:
    backlog = Backlog(10, memory_of(mib=80, workers=4))  # 10 a share, 40 for turns
    for lengths in ([28], [12], [11]):
        backlog.add(make_request(*lengths))

    first, second = backlog.take(workers=1), backlog.take(workers=1)
    assert [[[28]], [[12]]] == [lengths_of(each) for each in (first, second)]
    assert not backlog.is_ready
    backlog.leave(second)
    assert [[11]] == lengths_of(backlog.take(workers=1))


def test_a_text_above_all_memory_runs_in_its_turn() -> None:
    backlog = Backlog(10, memory_of(mib=8))
    for lengths in ([500], [1], [400]):
        backlog.add(make_request(*lengths))

    assert [[1]] == lengths_of(backlog.take(workers=1))
    first = backlog.take(workers=1)
    assert [[500]] == lengths_of(first)
    assert not backlog.is_ready
    backlog.leave(first)
    assert [[400]] == lengths_of(backlog.take(workers=1))


def test_tokens_that_wait_for_memory_are_not_shared_among_workers() -> None:
    backlog = Backlog(16, memory_of(mib=80))
    for lengths in ([30], [31]):
        backlog.add(make_request(*lengths))
    backlog.take(workers=1)
    backlog.add(make_request(4, 4, 4, 4))

    assert [[4, 4]] == lengths_of(backlog.take(workers=2))


class CountingEncoder(SumEncoder):
    """Counts the MiB that run at once, at a MiB a token of texts above a share."""

    def __init__(self, threads: int, share: int) -> None:
        super().__init__(threads)
        self.share = share
        self.lock = threading.Lock()
        self.now = self.most = 0

    def embed_beside(
        self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        taken = int(seq_lens.max()) if seq_lens.max() > self.share else 0
        with self.lock:
            self.now += taken
            self.most = max(self.most, self.now)
        time.sleep(0.002)
        with self.lock:
            self.now -= taken
        return super().embed_beside(input_ids, seq_lens)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_long_texts_stay_within_their_half_whatever_fails(threads: int) -> None:
    encoder = CountingEncoder(threads, share=40 // threads)
    batcher = Batcher(encoder, 16, memory_of(mib=80, workers=threads))
    rng = np.random.default_rng(seed=0)
    with closing(batcher):
        futures = []
        for number in range(60):
            lengths = np.array(rng.choice([1, 5, 12, 25, 39], size=2), dtype=np.int32)
            sign = -1 if number % 7 == 0 else 1
            futures.append(batcher.submit(np.full(lengths.sum(), sign), lengths))
        failed = [future.exception(PATIENCE_SECONDS) is not None for future in futures]
    assert all(failed[::7])
    assert not all(failed)
    assert encoder.most <= 40


def test_short_texts_pass_a_long_one_that_waits_for_memory() -> None:
    encoder = ConductedEncoder(threads=3)
    with closing(Batcher(encoder, 16, memory_of(mib=60, workers=3))) as batcher:
        lone = batcher.submit(*one_text(1))
        assert encoder.begun.get(timeout=PATIENCE_SECONDS) == 1
        others = [batcher.submit(*one_text(length)) for length in (40, 41, 2)]
        encoder.allowed[1].set()
        assert encoder.next_two() == {2, 40}
        others.append(batcher.submit(*one_text(3)))
        assert encoder.begun.get(timeout=PATIENCE_SECONDS) == 3
        encoder.allowed[2].set()
        encoder.allowed[3].set()
        with pytest.raises(Empty):  # two workers are free
            encoder.begun.get(timeout=0.1)
        encoder.allowed[40].set()
        assert encoder.begun.get(timeout=PATIENCE_SECONDS) == 41
        encoder.allowed[41].set()
        for future in (lone, *others):
            future.result(PATIENCE_SECONDS)


def test_closing_answers_what_waits_for_memory() -> None:
    encoder = ConductedEncoder(threads=2)
    batcher = Batcher(encoder, 16, memory_of(mib=40))
    futures = [batcher.submit(*one_text(1))]
    assert encoder.begun.get(timeout=PATIENCE_SECONDS) == 1
    futures += [batcher.submit(*one_text(length)) for length in (40, 41, 42)]
    closing_thread = threading.Thread(target=batcher.close, daemon=True)
    closing_thread.start()
    for length in (1, 40, 41, 42):
        encoder.allowed[length].set()
        if length < 42:
            assert encoder.begun.get(timeout=PATIENCE_SECONDS) > length
        with pytest.raises(Empty):
            encoder.begun.get(timeout=0.05)
    closing_thread.join(PATIENCE_SECONDS)

    assert not closing_thread.is_alive()
    assert [[length, length] for length in (1, 40, 41, 42)] == [
        future.result()[0].tolist() for future in futures
    ]


@pytest.mark.parametrize(
    ("tokens", "workers", "expected"),
    [(100, 1, 100), (300, 1, 150), (100, 2, 50), (600, 2, 150), (1024, 2, 256), (1, 4, 1)],
    ids=["fits", "two halves", "shared by two", "four for two", "exactly full", "one token"],
)
def test_workers_get_even_shares_within_the_budget(
    tokens: int, workers: int, expected: int
) -> None:
    assert expected == even_budget(tokens, 256, workers)
