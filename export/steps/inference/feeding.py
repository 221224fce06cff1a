"""What a session is fed with: the layout that its graph asks for, by names and notes of its own."""

from functools import lru_cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .layout import Ids, Layout, Lengths

# Tokens of a lone text, most often a query, whose layout is kept: 0.1 ms of 3 for 12 tokens.
KEPT_TOKENS = 64

Feeds = dict[str, NDArray[Any]]


class Feeder:
    """Makes the inputs of one session's runs."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        notes = session.get_modelmeta().custom_metadata_map  # by export/graph/footprint.py
        self._padding, self._block = int(notes["padding"]), int(notes["block"])
        self._names = tuple(value.name for value in session.get_inputs())

    def feeds(self, input_ids: Ids, seq_lens: Lengths) -> Feeds:
        """(T,) int64 token ids and (N,) int32 lengths → arrays by the names of the inputs."""
        tokens = len(input_ids)
        if len(seq_lens) == 1 and tokens <= KEPT_TOKENS and self._padding < 0:
            return {**_of_one_text(tokens, self._block, self._names), "INPUT_IDS": input_ids}
        return _named(Layout(input_ids, seq_lens, self._padding, self._block), self._names)


@lru_cache
def _of_one_text(tokens: int, block: int, names: tuple[str, ...]) -> Feeds:
    """All but its ids."""
    ids, seq_lens = np.zeros(tokens, dtype=np.int64), np.array([tokens], dtype=np.int32)
    return _named(Layout(ids, seq_lens, -1, block), names)


def _named(layout: Layout, names: tuple[str, ...]) -> Feeds:
    return {name: getattr(layout, name.lower()) for name in names}
