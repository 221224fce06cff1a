"""Texts of unlike lengths as one grid, as everybody else runs them."""

from collections.abc import Sequence

import numpy as np

from load_tests.gpu.shapes import Ids


def pad(texts: Sequence[Ids]) -> tuple[Ids, Ids]:
    """(N, S) ids and mask."""
    lengths = np.array([len(ids) for ids in texts])
    mask = np.arange(lengths.max()) < lengths[:, np.newaxis]
    input_ids = np.zeros(mask.shape, dtype=np.int64)
    input_ids[mask] = np.concatenate(texts)
    return input_ids, mask.astype(np.int64)
