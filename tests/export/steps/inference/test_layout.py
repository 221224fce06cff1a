"""Where the tokens of packed texts lie, against what each number says of itself."""

from typing import Any

import numpy as np
import pytest
import torch

from export.graph import packed
from export.graph.inputs import LAYOUT
from export.steps.inference import Layout
from export.steps.inference.layout import SUM_STEP

BLOCK = 8
SHORT = ([1], [5, 3, 2], [1, 1, 1, 1], [8, 1, 7])
LONG = ([9], [3, 17, 1], [24, 8, 40])
every_length = pytest.mark.parametrize("lengths", SHORT + LONG, ids=str)


def layout(lengths: list[int], padding: int = -1) -> Layout:
    ids = np.random.default_rng(seed=1).integers(0, 4, size=sum(lengths))  # padding among them
    return Layout(ids, np.array(lengths, dtype=np.int32), padding, BLOCK)


def texts(lengths: list[int]) -> list[list[int]]:
    """The tokens of each text, by number."""
    ends = np.cumsum(lengths)
    return [
        list(range(end - length, end)) for end, length in zip(ends.tolist(), lengths, strict=True)
    ]


@every_length
@pytest.mark.parametrize("padding", [-1, 0, 1])
def test_positions_are_those_of_the_plain_operator(lengths: list[int], padding: int) -> None:
    found = layout(lengths, padding)

    ids = torch.from_numpy(found.input_ids)
    expected = packed.positions(ids, torch.tensor(lengths), padding).tolist()
    assert expected == found.positions.tolist()


@every_length
def test_each_input_has_the_type_and_the_sizes_that_the_graph_is_told(lengths: list[int]) -> None:
    found = layout(lengths)
    sizes: dict[str, int] = {}

    for name, (dtype, shape) in LAYOUT.items():
        array = getattr(found, name.lower())
        assert dtype.numpy() == array.dtype, name
        assert len(shape) == array.ndim, name
        for size, count in zip(shape, array.shape, strict=True):
            known = int(size) if size.isdigit() else sizes.setdefault(size, count)
            assert known == count, (name, size)
    assert sum(lengths) == sizes["T"]
    assert len(lengths) == sizes["N"]
    assert len(lengths) + 1 == sizes["N + 1"]


@every_length
def test_a_row_of_the_grid_is_a_text_and_its_padding(lengths: list[int]) -> None:
    """Padding is a token of the same text, so that what is not a number stays there."""
    found = layout(lengths)

    assert 0 == len(found.steps) % SUM_STEP
    assert max(lengths) <= len(found.steps) < max(lengths) + SUM_STEP
    for row, text in zip(found.token_of_cell.tolist(), texts(lengths), strict=True):
        assert text == row[: len(text)]
        assert {text[0]} >= set(row[len(text) :])
    assert list(range(sum(lengths))) == found.token_of_cell.ravel()[found.cell_of_token].tolist()
    assert list(range(found.token_of_cell.size)) == sorted(found.token_offset.ravel().tolist())
    assert found.cell_of_token.tolist() == found.token_offset.ravel()[: sum(lengths)].tolist()


@every_length
def test_texts_begin_and_end_where_they_do(lengths: list[int]) -> None:
    found = layout(lengths)

    assert [text[0] for text in texts(lengths)] == found.first_tokens.tolist()
    assert [text[-1] for text in texts(lengths)] == found.last_tokens.tolist()
    assert [*found.first_tokens.tolist(), sum(lengths)] == found.starts.tolist()


@every_length
@pytest.mark.parametrize("mode", ["mean", "mean_sqrt_len_tokens", "weightedmean"])
def test_weights_are_those_of_the_plain_pooling(mode: str, lengths: list[int]) -> None:
    found = layout(lengths)
    weights: Any = getattr(found, mode)

    for row, length in zip(weights[:, 0], lengths, strict=True):
        expected = packed.POOLINGS[mode](torch.eye(length)).numpy()
        np.testing.assert_allclose(row[:length], expected, rtol=1e-6)
        assert not row[length:].any()


@pytest.mark.parametrize("lengths", SHORT, ids=str)
def test_short_texts_are_in_the_grid_alone(lengths: list[int]) -> None:
    found = layout(lengths)

    assert not found.is_long
    assert found.grid_tokens is not None
    np.testing.assert_array_equal(found.token_of_cell, found.grid_tokens)
    places = found.box_of_token * len(found.steps) + found.place_in_box
    np.testing.assert_array_equal(found.cell_of_token, places)
    assert 0 == len(found.block_tokens)


@pytest.mark.parametrize("lengths", LONG, ids=str)
def test_with_a_long_text_all_are_in_blocks_alone(lengths: list[int]) -> None:
    found = layout(lengths)

    assert found.is_long
    assert (len(lengths), 0) == found.grid_tokens.shape
    tokens = found.block_tokens[found.box_of_token, found.place_in_box]
    assert list(range(sum(lengths))) == tokens.tolist()
    assert found.block_tokens.shape[1] <= BLOCK
    blocks = zip(
        found.block_tokens.tolist(),
        found.block_starts.tolist(),
        found.block_lengths.tolist(),
        found.block_positions.tolist(),
        strict=True,
    )
    for tokens, start, length, position in blocks:
        last = start + length - 1
        assert [min(start + position + n, last) for n in range(len(tokens))] == tokens
