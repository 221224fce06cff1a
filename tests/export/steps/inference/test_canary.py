"""Vectors that a step computes when it loads, and the one reason not to be ready."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from export.steps.inference import Canary, CpuEncoder, WrongVectors, write_canary
from tests.export.steps.inference.conftest import IDS, MEANS

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Embeddings = NDArray[np.float32]
ROWS = [IDS[:1], IDS[1:]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_canary(
        tmp_path / "canary.npz", ROWS, np.array(MEANS, dtype=np.float32), min_cosine=0.9999
    )
    return tmp_path / "canary.npz"


def test_a_machine_that_computes_the_same_is_ready(path: Path, model: Path) -> None:
    canary = Canary(path)
    assert canary.check(CpuEncoder(model, threads=1)) == pytest.approx(1, abs=1e-6)
    assert [[3], [4, 5, 6]] == [row.tolist() for row in canary.rows]


class Wrong:
    """An encoder that is right but for what is done to its embeddings."""

    def __init__(
        self, model: Path, method: str, change: Callable[[Embeddings], Embeddings]
    ) -> None:
        self._encoder, self._method, self._change = CpuEncoder(model, threads=1), method, change

    def embed(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        found = self._encoder.embed(input_ids, seq_lens)
        return self._change(found) if self._method == "embed" else found

    def embed_beside(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        found = self._encoder.embed_beside(input_ids, seq_lens)
        return self._change(found) if self._method == "embed_beside" else found


@pytest.mark.parametrize("method", ["embed", "embed_beside"])
def test_other_vectors_alone_or_together_are_refused_with_the_figure(
    path: Path, model: Path, method: str
) -> None:
    wrong = Wrong(model, method, lambda found: found * np.array([1.2, 1], dtype=np.float32))
    told = r"have cosine 0.99\d{4} to their reference, at least 0.999900 is needed"
    with pytest.raises(WrongVectors, match=told):
        Canary(path).check(wrong)


@pytest.mark.parametrize("number", [np.nan, np.inf, 0])
def test_what_is_no_direction_is_refused(path: Path, model: Path, number: float) -> None:
    wrong = Wrong(model, "embed", lambda found: np.full_like(found, number))
    with pytest.raises(WrongVectors, match=r"have cosine -1\.0{6} "):
        Canary(path).check(wrong)


def test_one_wrong_text_is_enough(path: Path, model: Path) -> None:
    wrong = Wrong(model, "embed_beside", lambda found: np.stack([found[0], -found[1]]))
    with pytest.raises(WrongVectors):
        Canary(path).check(wrong)


def test_a_text_without_a_direction_has_none_here_either(model: Path, tmp_path: Path) -> None:
    nothing = np.zeros(1, dtype=np.int64)  # the embedding of the id 0
    write_canary(
        tmp_path / "canary.npz", [nothing], np.zeros((1, 2), dtype=np.float32), min_cosine=0.9999
    )
    assert 1 == Canary(tmp_path / "canary.npz").check(CpuEncoder(model, threads=1))


def test_the_same_texts_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_canary(tmp_path / "again.npz", ROWS, np.array(MEANS, dtype=np.float32), min_cosine=0.9999)
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_a_file_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "canary.npz", input_ids=np.array([object()]))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Canary(tmp_path / "canary.npz")
