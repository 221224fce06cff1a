"""Canary vectors: a few short texts and what transformers makes of them, kept beside model.onnx.

No verification sees the kernels, the driver and the processor of the machine that serves: the step
embeds these texts when it loads, and is not ready where the vectors are others.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Embeddings = NDArray[np.float32]

CANARY = "canary.npz"  # beside model.onnx


class WrongVectors(Exception):
    """This machine computes others than the export was verified with."""


class Encoder(Protocol):
    """A part of `batching.Encoder`."""

    def embed(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings: ...

    def embed_beside(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings: ...


class Canary:
    """Texts as token ids, their reference embeddings, and the least cosine to them."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self.input_ids: Ids = arrays["input_ids"]  # (T,)
            self.seq_lens: Lengths = arrays["seq_lens"]  # (N,)
            self.embeddings: Embeddings = arrays["embeddings"]  # (N, D)
            self.min_cosine = float(arrays["min_cosine"])

    @property
    def rows(self) -> list[Ids]:
        """Token ids of each text."""
        return np.split(self.input_ids, np.cumsum(self.seq_lens)[:-1])

    def check(self, encoder: Encoder) -> float:
        """The least cosine of all texts, together and each alone.

        Raises: WrongVectors if it is below the bound.
        """
        together = encoder.embed_beside(self.input_ids, self.seq_lens)
        lengths = np.split(self.seq_lens, len(self.seq_lens))
        alone = np.concatenate(list(map(encoder.embed, self.rows, lengths)))
        found = min(float(cosines(x, self.embeddings).min()) for x in (together, alone))
        if not found >= self.min_cosine:
            raise WrongVectors(
                f"the canary texts have cosine {found:.6f} to their reference, at least "
                f"{self.min_cosine:.6f} is needed: this machine computes other vectors than the "
                "export was verified with; update driver and onnxruntime, or export again on it"
            )
        return found


def write_canary(
    path: Path, rows: Sequence[Ids], embeddings: Embeddings, min_cosine: float
) -> None:
    """The same texts and embeddings give the same bytes.

    rows        token ids of each text
    embeddings  (N, D) float32, of the reference
    """
    arrays: dict[str, NDArray[Any]] = {
        "input_ids": np.concatenate(rows).astype(np.int64),
        "seq_lens": np.array([len(row) for row in rows], dtype=np.int32),
        "embeddings": embeddings.astype(np.float32),
        "min_cosine": np.array(min_cosine),
    }
    np.savez(path, **arrays)


def cosines(found: Embeddings, expected: Embeddings) -> NDArray[np.float64]:
    """Row by row, in float64: (N, D), (N, D) → (N,). Numbers that are not finite have -1."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)  # a static embedding of words that it does not know
    with np.errstate(invalid="ignore", divide="ignore"):
        found_cosines = np.where(both_zero, 1.0, (a * b).sum(axis=1) / norms)
    return np.nan_to_num(found_cosines, nan=-1.0, posinf=-1.0, neginf=-1.0)
