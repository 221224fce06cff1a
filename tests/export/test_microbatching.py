"""Micro-batches: every text once, in order, under the budget."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from export.microbatching import MicroBatch, cut, encode_in_micro_batches, even_budget


class SumEncoder:
    """Each text's vector is the sum of its ids and its length; remembers what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def encode_all(self, micro_batches: Sequence[MicroBatch]) -> list[NDArray[np.float32]]:
        self.batches += [seq_lens.tolist() for _, seq_lens in micro_batches]
        return [self._encode(*batch) for batch in micro_batches]

    def _encode(
        self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        texts = np.split(input_ids, np.cumsum(seq_lens)[:-1])
        return np.array([[text.sum(), len(text)] for text in texts], dtype=np.float32)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("max_tokens", [1, 16, 512, 10**9])
@pytest.mark.parametrize("texts", [1, 2, 100])
def test_each_text_gets_its_own_embedding_in_order(
    texts: int, max_tokens: int, workers: int
) -> None:
    rng = np.random.default_rng(seed=texts)
    seq_lens = rng.integers(1, 60, size=texts).astype(np.int32)
    input_ids = rng.integers(0, 1000, size=seq_lens.sum())
    encode_all = SumEncoder().encode_all

    found = encode_in_micro_batches(encode_all, input_ids, seq_lens, max_tokens, workers)

    np.testing.assert_array_equal(encode_all([(input_ids, seq_lens)])[0], found)


def test_a_micro_batch_holds_texts_of_like_length_up_to_the_budget() -> None:
    encoder = SumEncoder()

    encode_in_micro_batches(
        encoder.encode_all, np.zeros(29, dtype=np.int64), np.array([9, 2, 8, 1, 9], np.int32), 12
    )

    assert [[9], [9], [8, 2], [1]] == encoder.batches


@pytest.mark.parametrize(
    ("tokens", "workers", "expected"),
    [(100, 1, 100), (300, 1, 150), (100, 2, 50), (600, 2, 150), (1024, 2, 256), (1, 4, 1)],
    ids=["fits", "two halves", "shared by two", "four for two", "exactly full", "one token"],
)
def test_workers_get_even_shares_within_the_budget(
    tokens: int, workers: int, expected: int
) -> None:
    assert expected == even_budget(tokens, 256, workers)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([5], [(0, 1)]),
        ([5, 5], [(0, 2)]),
        ([5, 6], [(0, 1), (1, 2)]),
        ([99], [(0, 1)]),
        ([1, 99, 99], [(0, 1), (1, 2), (2, 3)]),
    ],
    ids=["one", "exactly full", "over by one", "one above the budget", "several above"],
)
def test_a_cut_fills_the_budget_and_takes_at_least_one(
    lengths: list[int], expected: list[tuple[int, int]]
) -> None:
    assert expected == cut(np.array(lengths, dtype=np.int32), 10)
