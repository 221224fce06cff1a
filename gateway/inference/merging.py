"""The embeddings of one call, put together from its chunks: all of one edition, or none."""

from collections.abc import Sequence

import numpy as np

from gateway.errors import ModelReplaced
from gateway.inference import tensors
from gateway.inference.embedder import Embeddings


class Merge:
    """Room for the rows of one call, made when the first chunk says how wide they are."""

    def __init__(self, count: int) -> None:
        """count: texts of the call."""
        self._count = count
        self._embeddings: Embeddings | None = None

    def place(self, chunk: Sequence[int], part: Embeddings) -> None:
        """Writes the rows of one chunk where they belong.

        chunk  indices of its texts in the call

        Raises: ModelReplaced if another edition gave them than gave the others.
        """
        if self._embeddings is None:
            self._embeddings = self._allocate(part)
        whole = self._embeddings
        if (whole.edition, whole.dimensions) != (part.edition, part.dimensions):
            raise ModelReplaced
        for number_format, array in whole.arrays.items():
            array[chunk] = part.arrays[number_format]
        whole.token_counts[chunk] = part.token_counts

    def result(self) -> Embeddings:
        """The embeddings, after the last chunk."""
        assert self._embeddings is not None
        return self._embeddings

    def _allocate(self, part: Embeddings) -> Embeddings:
        arrays = {
            number_format: tensors.allocate(number_format, self._count, part.dimensions)
            for number_format in part.arrays
        }
        counts = np.empty(self._count, dtype=np.int32)
        return Embeddings(arrays, counts, part.dimensions, part.edition)
