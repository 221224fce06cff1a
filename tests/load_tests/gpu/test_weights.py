"""Weights by seed: the same bits everywhere, where the graph looks for them."""

from pathlib import Path

import numpy as np
import pytest

from load_tests.gpu.weights import DEVIATION, SCALE, Weight, data_of, fill, numbers, write_listing


def test_the_same_name_gives_the_same_bits_everywhere() -> None:
    # Written down once: an exported digest holds on a machine with another numpy.
    assert numbers(Weight("a", 5, 0)).view(np.uint16).tolist() == [40171, 8261, 42722, 10324, 9756]


def test_a_larger_one_begins_alike_and_another_name_does_not() -> None:
    longer, other = numbers(Weight("a", 50, 7)), numbers(Weight("b", 5, 0))
    assert np.array_equal(longer[:5], numbers(Weight("a", 5, 0)))
    assert not np.array_equal(longer[:5], other)


@pytest.mark.parametrize(("kind", "mean"), [("", 0.0), (SCALE, 1.0)])
def test_numbers_are_spread_as_berts_are(kind: str, mean: float) -> None:
    drawn = numbers(Weight("a", 100_000, 0, kind)).astype(np.float64)
    assert abs(drawn.mean() - mean) < 0.001
    assert abs(drawn.std() - DEVIATION) < 0.001


def test_weights_lie_where_the_graph_looks_for_them(tmp_path: Path) -> None:
    graph = tmp_path / "model.onnx"
    first, second = Weight("a", 3, 0), Weight("b", 2, 64)
    write_listing([first, second], graph)
    fill(graph)
    data = data_of(graph).read_bytes()
    assert data[:6] == numbers(first).tobytes()
    assert data[64:] == numbers(second).tobytes()


def test_weights_that_are_there_stay(tmp_path: Path) -> None:
    graph = tmp_path / "model.onnx"
    data_of(graph).write_bytes(b"there")
    fill(graph)
    assert data_of(graph).read_bytes() == b"there"
