"""Lengths and micro-batches of the GPU check."""

import numpy as np
import pytest

from load_tests.gpu.padding import pad
from load_tests.gpu.shapes import FEWEST, LONGEST, MIXED, MIXES, SHAPES, Mix, micro_batches

BASE = SHAPES[0]


def test_operations_of_a_token_are_twice_the_weights_of_berts_products() -> None:
    assert [round(shape.flop / 1e6) for shape in SHAPES] == [170, 604, 21]


def test_mixed_lengths_have_their_mean_and_their_ends() -> None:
    lengths = MIXED.draw(20_000, np.random.default_rng(0))
    assert abs(lengths.mean() - 128) < 4
    assert (lengths.min(), lengths.max()) >= (FEWEST, LONGEST)


@pytest.mark.parametrize("mix", MIXES, ids=[mix.name for mix in MIXES])
@pytest.mark.parametrize("tokens", [4096, 16_384])
def test_a_micro_batch_is_full_and_no_fuller(mix: Mix, tokens: int) -> None:
    for input_ids, seq_lens in micro_batches(BASE, mix, tokens, 4):
        assert len(input_ids) == seq_lens.sum() <= tokens
        assert len(input_ids) > tokens - LONGEST


def test_padding_is_what_the_mask_leaves_out() -> None:
    input_ids, mask = pad([np.array([5, 6, 7]), np.array([8])])
    assert input_ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
