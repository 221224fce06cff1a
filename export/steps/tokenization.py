"""Texts → one flat sequence of token ids, with the three ways to treat a text above the limit.

The exporter copies this file beside the tokenizer step's `model.py`, byte for byte.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

KEEP_START, KEEP_END, REFUSE = 0, 1, 2  # the values of the tensor TRUNCATION
_DIRECTIONS = {KEEP_START: "right", KEEP_END: "left"}  # the side that tokenizers cuts


class InputTooLong(ValueError):
    """Texts above the limit, when nothing may be cut.

    overflows  (index of the text, its tokens with special tokens) of each such text
    """

    def __init__(self, max_length: int, overflows: list[tuple[int, int]]) -> None:
        super().__init__(f"{len(overflows)} texts have more than {max_length} tokens")
        self.max_length = max_length
        self.overflows = overflows


class PackedTokenizer:
    """A tokenizer whose output is packed: no padding, no mask."""

    def __init__(self, path: Path | str, max_length: int) -> None:
        """Read a tokenizer.json; max_length is in tokens, special tokens included."""
        self.max_length = max_length
        self._tokenizers = {}
        for truncation in (KEEP_START, KEEP_END, REFUSE):
            tokenizer = Tokenizer.from_file(str(path))
            tokenizer.no_padding()
            tokenizer.no_truncation()
            if truncation in _DIRECTIONS:
                tokenizer.enable_truncation(max_length, direction=_DIRECTIONS[truncation])
            self._tokenizers[truncation] = tokenizer

    def tokenize(
        self, texts: Sequence[str], truncation: int = KEEP_START
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Token ids of all texts, one after the other.

        returns  input_ids (T,) int64, seq_lens (N,) int32

        Raises: InputTooLong if truncation is REFUSE and a text is above the limit;
            KeyError if truncation is none of the three.
        """
        encodings = self._tokenizers[truncation].encode_batch_fast(list(texts))
        rows = [encoding.ids for encoding in encodings]
        seq_lens = np.fromiter(map(len, rows), dtype=np.int32, count=len(rows))
        if truncation == REFUSE:
            self._refuse_long(seq_lens)
        input_ids = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
        return input_ids, seq_lens

    def _refuse_long(self, seq_lens: NDArray[np.int32]) -> None:
        long = np.flatnonzero(seq_lens > self.max_length)
        if long.size:
            overflows = list(zip(long.tolist(), seq_lens[long].tolist(), strict=True))
            raise InputTooLong(self.max_length, overflows)
