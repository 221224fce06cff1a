"""Texts packed into micro-batches, where no batcher is to be measured."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def micro_batches(
    mixed: Sequence[list[int]], most_tokens: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int32]]]:
    """Texts of like length together, as the encoder does it with none of other length about."""
    groups: list[list[list[int]]] = [[]]
    for text in sorted(mixed, key=len):
        if groups[-1] and sum(map(len, groups[-1])) + len(text) > most_tokens:
            groups.append([])
        groups[-1].append(text)
    return [
        (
            np.concatenate([np.array(text, dtype=np.int64) for text in group]),
            np.array([len(text) for text in group], dtype=np.int32),
        )
        for group in groups
    ]
