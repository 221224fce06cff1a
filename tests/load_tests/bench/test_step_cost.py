"""What the step's cost is measured on: full micro-batches, of as many requests as wait."""

import pytest

from load_tests.bench.step_cost import Shape, measure, row


@pytest.mark.parametrize("workers", [1, 2])
def test_the_micro_batches_that_count_are_those_of_the_batcher(workers: int) -> None:
    cost = measure(20, Shape(texts=1, tokens=8), workers, max_tokens=32, micro_batches=5)

    assert (32, 4) == (cost.tokens, cost.texts)
    assert cost.milliseconds > 0


def test_a_row_tells_the_cost_of_a_request() -> None:
    cost = measure(1, Shape(texts=3, tokens=8), 1, max_tokens=64, micro_batches=5)
    cells = row(1, Shape(texts=3, tokens=8), 1, cost).split(" | ")

    assert cost.texts == 3
    assert pytest.approx(1000 * cost.milliseconds, abs=0.1) == float(cells[-1].rstrip(" |"))
