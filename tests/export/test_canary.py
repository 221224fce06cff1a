"""Which texts become the canary of an export, and what is asked of them."""

from pathlib import Path

import numpy as np
import pytest

from export.canary import put_canary
from export.sample import Sample
from export.serving import Precision
from export.steps.inference import CANARY, Canary
from export.verification import MIN_COSINE

LENGTHS = [1, 65, 64, 2, 500, 30, 3, 64, 4, 5, 6, 7, 8]


@pytest.fixture
def sample() -> Sample:
    rows = [np.full(length, length) for length in LENGTHS]
    expected = np.array([[length, 1] for length in LENGTHS], dtype=np.float32)
    return Sample([""] * len(rows), rows, expected)


def test_the_longest_of_the_short_texts_are_kept_once_with_their_vectors(
    sample: Sample, tmp_path: Path
) -> None:
    put_canary(tmp_path, sample, "fp32")
    canary = Canary(tmp_path / CANARY)
    assert [64, 30, 8, 7, 6, 5, 4, 3] == canary.seq_lens.tolist()
    assert all((row == len(row)).all() for row in canary.rows)
    assert canary.seq_lens.tolist() == canary.embeddings[:, 0].tolist()


@pytest.mark.parametrize("precision", MIN_COSINE)
def test_another_machine_may_be_a_little_further_off(
    sample: Sample, tmp_path: Path, precision: Precision
) -> None:
    put_canary(tmp_path, sample, precision)
    bound = MIN_COSINE[precision]
    assert Canary(tmp_path / CANARY).min_cosine == pytest.approx(bound - (1 - bound))
