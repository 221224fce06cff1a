"""Texts of one call → chunks."""

import random

import pytest

from gateway.inference.chunking import cut, limits


def test_what_fits_into_one_chunk_keeps_its_order() -> None:
    assert cut([5, 300, 7], max_tokens=312, max_texts=3) == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("micro_batch_tokens", "expected"),
    [(128, (1024, 64)), (682, (1024, 64)), (4096, (6144, 384)), (16_384, (24_576, 1536))],
    ids=["a CPU", "as the settings", "a large model on a GPU", "a small model on a GPU"],
)
def test_a_chunk_is_a_micro_batch_of_a_gpu(
    micro_batch_tokens: int, expected: tuple[int, int]
) -> None:
    assert expected == limits(1024, 64, micro_batch_tokens)


def test_the_longest_texts_travel_together() -> None:
    assert cut([10, 90, 10, 90], max_tokens=180, max_texts=64) == [[1, 3], [0, 2]]


def test_a_text_above_the_budget_travels_alone() -> None:
    assert cut([10, 900, 10], max_tokens=512, max_texts=64) == [[1], [0, 2]]


def test_a_chunk_has_a_bounded_number_of_texts() -> None:
    assert [len(chunk) for chunk in cut([1] * 130, max_tokens=512, max_texts=64)] == [64, 64, 2]


@pytest.mark.parametrize("seed", range(10))
def test_every_text_is_in_exactly_one_chunk_within_the_budget(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311  # not for secrets
    estimates = [draw.randint(2, 512) for _ in range(draw.randint(1, 256))]
    chunks = cut(estimates, max_tokens=512, max_texts=64)
    assert list(range(len(estimates))) == sorted(index for chunk in chunks for index in chunk)
    assert all(sum(estimates[index] for index in chunk) <= 512 for chunk in chunks)
