"""Shapes that an engine is built for: every micro-batch lies within them."""

import numpy as np
import pytest

from export.graph.inputs import LAYOUT
from export.steps.inference.layout import Layout
from export.steps.inference.profiles import CELLS, Profile, Sizes

INPUTS = {
    "INPUT_IDS": ["T"],
    "STARTS": ["N + 1"],
    "TOKEN_OF_CELL": ["N", "S"],
    "MEAN": ["N", "1", "S"],
}


def test_shapes_are_written_as_the_provider_reads_them() -> None:
    shapes = Sizes(tokens=9, texts=2, positions=8).shapes(INPUTS)
    assert "INPUT_IDS:9,STARTS:3,TOKEN_OF_CELL:2x8,MEAN:2x1x8" == shapes


def test_a_size_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="inputs of size 'M' cannot be built for TensorRT"):
        Sizes(1, 1, 4).shapes({"BLOCK_STARTS": ["M"]})


def test_the_options_are_least_usual_and_most() -> None:
    options = Profile.of(max_tokens=4096, max_length=510).options({"TOKEN_OF_CELL": ["N", "S"]})
    assert {
        "trt_profile_min_shapes": "TOKEN_OF_CELL:1x4",
        "trt_profile_opt_shapes": "TOKEN_OF_CELL:32x128",
        "trt_profile_max_shapes": "TOKEN_OF_CELL:1024x512",
    } == options


@pytest.mark.parametrize("max_length", [1, 30, 128, 512, 8192, 32_768])
@pytest.mark.parametrize("max_tokens", [1, 64, 4096, 16_384])
def test_every_micro_batch_lies_within(max_tokens: int, max_length: int) -> None:
    """Padded to twice its tokens at most, as its memory allows, or one text alone."""
    profile = Profile.of(max_tokens, max_length)
    rng = np.random.default_rng(seed=0)
    for length in sorted({1, min(3, max_length), min(100, max_length), max_length}):
        texts = max(min(max_tokens // length, profile.most.texts), 1)
        lengths = rng.integers((length + 1) // 2, length + 1, size=texts).astype(np.int32)
        lengths[0] = length
        layout = Layout(np.zeros(lengths.sum(), dtype=np.int64), lengths)
        texts_and_positions = layout.token_of_cell.shape
        assert profile.least.positions <= texts_and_positions[1] <= profile.most.positions
        assert texts_and_positions[0] <= profile.most.texts
        assert len(layout.input_ids) <= profile.most.tokens


@pytest.mark.parametrize("max_length", [4, 128, 512, 8192, 32_768])
def test_an_engine_takes_bounded_memory(max_length: int) -> None:
    most = Profile.of(4096, max_length).most
    assert most.texts * most.positions <= max(CELLS, max_length * 32)
    assert most.texts >= 2 * 4096 // max_length  # of the longest, as many as its memory allows


@pytest.mark.parametrize("max_length", [1, 512, 8192])
@pytest.mark.parametrize("max_tokens", [1, 4096, 65_536])
def test_least_usual_and_most_are_in_order(max_tokens: int, max_length: int) -> None:
    profile = Profile.of(max_tokens, max_length)
    assert profile.most.texts <= profile.most.tokens
    for size in ("tokens", "texts", "positions"):
        numbers = [getattr(each, size) for each in (profile.least, profile.usual, profile.most)]
        assert sorted(numbers) == numbers


def test_the_sizes_are_those_of_the_graph() -> None:
    known = {"T", "N", "N + 1", "S", "1"}
    inputs = {name: sizes for name, (_, sizes) in LAYOUT.items() if set(sizes) <= known}
    assert {"TOKEN_OF_CELL", "STARTS", "POSITIONS", "MEAN", "TOKEN_OFFSET"} <= set(inputs)
    assert Sizes(1, 1, 4).shapes(inputs).count(":") == len(inputs)
