"""Continuous batching: every text once, in order, under the budget, and nobody left waiting."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pytest
from numpy.typing import NDArray

from export.steps.batching import Backlog, Batcher, Request, even_budget

PATIENCE_SECONDS = 10


class SumEncoder:
    """Each text's vector is the sum of its ids and its length; fails on an id below zero."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
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
    """Ends only when the gate opens; tells when it began."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)

    def embed_beside(
        self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        self.begun.release()
        self.gate.wait(PATIENCE_SECONDS)
        return super().embed_beside(input_ids, seq_lens)


def draw_texts(seed: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    rng = np.random.default_rng(seed)
    seq_lens = rng.integers(1, 60, size=count).astype(np.int32)
    return rng.integers(0, 1000, size=seq_lens.sum()), seq_lens


def make_request(*lengths: int) -> Request:
    return Request(np.zeros(sum(lengths), dtype=np.int64), np.array(lengths, dtype=np.int32))


def drain(backlog: Backlog) -> Iterator[list[list[int]]]:
    """The lengths that each request gives, micro-batch by micro-batch."""
    while backlog:
        yield [part.seq_lens.tolist() for part in backlog.take(workers=1)]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("max_tokens", [1, 16, 512, 10**9])
@pytest.mark.parametrize("counts", [[1], [2], [100], [1, 1, 40, 3, 1]])
def test_each_text_gets_its_own_embedding_in_order(
    counts: Sequence[int], max_tokens: int, threads: int
) -> None:
    calls = [draw_texts(seed, count) for seed, count in enumerate(counts)]
    encoder = SumEncoder(threads)
    with closing(Batcher(encoder, max_tokens)) as batcher:
        futures = [batcher.submit(*call) for call in calls]
        for call, future in zip(calls, futures, strict=True):
            expected = encoder.embed_beside(*call)
            np.testing.assert_array_equal(expected, future.result(PATIENCE_SECONDS))


def test_what_was_given_may_be_overwritten() -> None:
    encoder = GatedEncoder(threads=1)
    input_ids, seq_lens = np.array([1, 2, 3]), np.array([2, 1], dtype=np.int32)
    with closing(Batcher(encoder, max_tokens=16)) as batcher:
        future = batcher.submit(input_ids, seq_lens)
        input_ids[:] = -1
        encoder.gate.set()
        assert future.result(PATIENCE_SECONDS).tolist() == [[3, 2], [3, 1]]


@pytest.mark.parametrize(
    ("input_ids", "seq_lens"),
    [([], []), ([1, 2], [1]), ([1], [1, 1]), ([1], [0, 1])],
    ids=["no text", "tokens of no text", "texts without tokens", "a text without tokens"],
)
def test_lengths_that_do_not_fit_the_tokens_are_refused(
    input_ids: list[int], seq_lens: list[int]
) -> None:
    with pytest.raises(ValueError, match="SEQ_LENS"):
        Request(np.array(input_ids, dtype=np.int64), np.array(seq_lens, dtype=np.int32))


def test_an_error_reaches_those_it_concerns_and_no_others() -> None:
    long = np.zeros(40, dtype=np.int64), np.array([20, 20], dtype=np.int32)
    with closing(Batcher(SumEncoder(threads=2), max_tokens=16)) as batcher:
        bad = batcher.submit(-long[0] - 1, long[1])
        good = batcher.submit(*long)
        with pytest.raises(RuntimeError, match="negative"):
            bad.result(PATIENCE_SECONDS)
        assert good.result(PATIENCE_SECONDS).tolist() == [[0, 20], [0, 20]]


def test_a_request_fails_once_though_all_its_micro_batches_do() -> None:
    encoder = GatedEncoder(threads=2)
    with closing(Batcher(encoder, max_tokens=16)) as batcher:
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

    with closing(Batcher(Forgetful(threads=1), max_tokens=16)) as batcher:
        future = batcher.submit(np.zeros(4, dtype=np.int64), np.array([2, 2], dtype=np.int32))
        with pytest.raises(ValueError, match="1 embeddings for 2 texts"):
            future.result(PATIENCE_SECONDS)


def test_a_lone_text_has_all_threads_and_what_comes_meanwhile_waits_for_it() -> None:
    encoder = GatedEncoder(threads=2)
    with closing(Batcher(encoder, max_tokens=16)) as batcher:
        lone = batcher.submit(*draw_texts(0, 1))
        assert encoder.begun.acquire(timeout=PATIENCE_SECONDS)
        later = [batcher.submit(*draw_texts(seed, 1)) for seed in (1, 2)]
        assert not encoder.begun.acquire(timeout=0.1)
        assert encoder.alone == 1
        encoder.gate.set()
        for future in (lone, *later):
            future.result(PATIENCE_SECONDS)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_closing_answers_what_waits_and_ends_every_worker(threads: int) -> None:
    encoder = GatedEncoder(threads)
    batcher = Batcher(encoder, max_tokens=16)
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
    backlog = Backlog(max_tokens=12)
    backlog.add(make_request(9, 2, 8, 1, 9))
    assert list(drain(backlog)) == [[[9]], [[9]], [[8, 2, 1]]]


def test_whole_requests_of_like_length_fill_up() -> None:
    backlog = Backlog(max_tokens=40)
    for lengths in ([30], [3], [20] * 4, [7]):
        backlog.add(make_request(*lengths))
    assert next(drain(backlog)) == [[30], [7], [3]]


def test_the_oldest_of_the_small_requests_is_the_first_to_overtake() -> None:
    backlog = Backlog(max_tokens=10)
    for lengths in ([10, 10], [8], [3, 3], [7]):
        backlog.add(make_request(*lengths))
    assert list(drain(backlog)) == [[[8]], [[10]], [[3, 3]], [[10]], [[7]]]


def test_small_requests_overtake_the_oldest_every_other_time() -> None:
    backlog = Backlog(max_tokens=10)
    backlog.add(make_request(10, 10, 10))
    for _ in range(3):
        backlog.add(make_request(5, 4))
    assert list(drain(backlog)) == [[[5, 4]], [[10]], [[5, 4]], [[10]], [[5, 4]], [[10]]]


def test_two_idle_workers_share_what_waits() -> None:
    backlog = Backlog(max_tokens=256)
    backlog.add(make_request(*[10] * 20))
    shares = [backlog.take(workers=2), backlog.take(workers=1)]
    assert [[len(part.seq_lens) for part in share] for share in shares] == [[10], [10]]
    assert not backlog


@pytest.mark.parametrize(
    ("tokens", "workers", "expected"),
    [(100, 1, 100), (300, 1, 150), (100, 2, 50), (600, 2, 150), (1024, 2, 256), (1, 4, 1)],
    ids=["fits", "two halves", "shared by two", "four for two", "exactly full", "one token"],
)
def test_workers_get_even_shares_within_the_budget(
    tokens: int, workers: int, expected: int
) -> None:
    assert expected == even_budget(tokens, 256, workers)
