"""Checkpoints of several kinds, exported and served: the vectors of sentence-transformers."""

from pathlib import Path

import pytest

from tests.models.comparison import MIN_COSINE
from tests.models.service import compare_served

pytestmark = pytest.mark.triton

# A prompt of its own, relative positions, and a table whose empty text is zero; all of them:
# python -m tests.models --gateway
KINDS = ("default-prompt", "mpnet", "static")


def test_a_caller_gets_the_vectors_of_sentence_transformers(tmp_path: Path) -> None:
    found = dict(compare_served(tmp_path, KINDS))

    assert set(KINDS) == set(found)
    assert min(found.values()) >= MIN_COSINE
