"""Where the tokens of packed texts lie, as numbers that the graph is fed with.

Computed here, nothing in the graph depends on data but the products themselves: shapes are known
when a run begins, and a GPU need not hand one back in the middle of it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Numbers = NDArray[np.int64]
Places = NDArray[np.int32]
Weights = NDArray[np.float32]

# onnxruntime sums four terms at a time and the rest one by one. With S a multiple of four no text
# meets the rest, and its bits are the same whatever its neighbours: 300 of 300 texts, else 251.
SUM_STEP = 4

SHORT, LONG = np.array(False), np.array(True)
# Of no block.
NO_TOKENS: Places = np.zeros((0, 1), dtype=np.int32)
NO_NUMBERS: Numbers = np.zeros(0, dtype=np.int64)


Value = TypeVar("Value")


class once(Generic[Value]):
    """A property that is computed at its first use.

    functools.cached_property of Python 3.11 holds a lock meanwhile, one for all layouts, and two
    workers would wait for each other.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    def __get__(self, layout: Any, _: type) -> Value:
        value: Value = self._compute(layout)
        layout.__dict__[self._name] = value  # found there before this from now on
        return value


class Layout:
    """Of one micro-batch: T tokens of N texts, in a grid (N, S) with a row for each text.

    Each property is an input of the graph under its name in capitals, for graphs that ask for it.
    """

    def __init__(
        self, input_ids: Ids, seq_lens: Lengths, padding: int = -1, block: int = 0
    ) -> None:
        """input_ids (T,) int64, seq_lens (N,) int32.

        padding  the token that has position `padding` itself, as in RoBERTa; -1 for none
        block    most tokens of a text that is not cut into blocks; 0 where none is
        """
        self.input_ids = input_ids
        self.seq_lens = seq_lens
        self._padding = padding
        self._block = block

    @once
    def lengths(self) -> Numbers:
        """(N,)"""
        return self.seq_lens.astype(np.int64)

    @once
    def starts(self) -> Places:
        """The first token of each text, and the end of the last: (N + 1,)"""
        starts = np.zeros(len(self.seq_lens) + 1, dtype=np.int32)
        np.cumsum(self.seq_lens, out=starts[1:])
        return starts

    @once
    def first_tokens(self) -> Places:
        """(N,)"""
        return self.starts[:-1]

    @once
    def last_tokens(self) -> Places:
        """(N,)"""
        return self.starts[1:] - np.int32(1)

    @once
    def positions(self) -> Numbers:
        """Of each token within its text, from 0; or from `padding`, which is left out: (T,)"""
        if self._padding < 0 and self._block and not self.is_long:
            return self.place_in_box
        firsts = np.repeat(self.first_tokens, self.seq_lens)
        if self._padding < 0:
            return np.arange(len(self.input_ids)) - firsts
        counted = (self.input_ids != self._padding).astype(np.int64)
        until = np.cumsum(counted)  # over all texts, this token included
        before = until[firsts] - counted[firsts]
        return (until - before) * counted + self._padding

    @once
    def steps(self) -> Numbers:
        """The positions of the grid: (S,)"""
        return _steps(-(-int(self.seq_lens.max()) // SUM_STEP) * SUM_STEP)[0]

    @once
    def token_of_cell(self) -> Places:
        """Padding is the first token of its text, so that a NaN stays there: (N, S)"""
        firsts = self.first_tokens[:, np.newaxis]
        return np.where(self._real, firsts + _steps(len(self.steps))[1], firsts)

    @once
    def cell_of_token(self) -> Places:
        """(T,)"""
        return np.flatnonzero(self._real).astype(np.int32)

    @once
    def token_offset(self) -> Places:
        """The cells of all tokens, then those of padding, in the shape of the grid: (N, S)"""
        padding = np.flatnonzero(~self._real).astype(np.int32)
        return np.concatenate([self.cell_of_token, padding]).reshape(self._real.shape)

    @once
    def mean(self) -> Weights:
        """The share of each cell in the vector of its text: (N, 1, S)"""
        return self._weights(1.0 / self.lengths)

    @once
    def mean_sqrt_len_tokens(self) -> Weights:
        """(N, 1, S)"""
        return self._weights(1.0 / np.sqrt(self.lengths))

    @once
    def weightedmean(self) -> Weights:
        """The n-th token counts n times: (N, 1, S)"""
        counts = self.lengths * (self.lengths + 1) / 2  # 1 + 2 + … + length
        return self._weights(1.0 / counts) * (self.steps + 1).astype(np.float32)

    @once
    def is_long(self) -> NDArray[np.bool_]:
        """Whether attention goes block by block: a scalar."""
        return LONG if len(self.steps) > self._block else SHORT

    @once
    def grid_tokens(self) -> Places:
        """`token_of_cell`, of no cell where attention goes block by block: (N, S) or (N, 0)"""
        return self.token_of_cell[:, : len(self.grid_steps)]

    @once
    def grid_steps(self) -> Numbers:
        """(S,) or (0,)"""
        return self.steps[:0] if self.is_long else self.steps

    @once
    def box_of_token(self) -> Numbers:
        """In which text or block of what attention goes through a token lies: (T,)"""
        return self._places[0]

    @once
    def place_in_box(self) -> Numbers:
        """Where in it: (T,)"""
        return self._places[1]

    @once
    def block_tokens(self) -> Places:
        """The tokens of each block, the text's last one again where it is shorter: (M, B)"""
        if not self.is_long:
            return NO_TOKENS
        firsts = self.block_starts + self.block_positions
        lasts = self.block_starts + self.block_lengths - 1
        steps = firsts[:, np.newaxis] + np.arange(self._block_size)
        return np.minimum(steps, lasts[:, np.newaxis]).astype(np.int32)

    @once
    def block_lengths(self) -> Numbers:
        """Of the text that a block is of: (M,)"""
        return self.lengths[self._text_of_block] if self.is_long else NO_NUMBERS

    @once
    def block_starts(self) -> Numbers:
        """Of the text that a block is of: (M,)"""
        if not self.is_long:
            return NO_NUMBERS
        return self.first_tokens[self._text_of_block].astype(np.int64)

    @once
    def block_positions(self) -> Numbers:
        """Of a block's first token within its text: (M,)"""
        if not self.is_long:
            return NO_NUMBERS
        counts = self._blocks_of_text
        before = np.repeat(np.cumsum(counts) - counts, counts)
        return (np.arange(len(before)) - before) * self._block_size

    def _weights(self, of_text: NDArray[np.float64]) -> Weights:
        """(N,) → (N, 1, S), zero where there is no token.

        A product with them adds token after token: a sum over an axis adds in another order for
        another S, and a text's bits would depend on its neighbours.
        """
        weights = self._real * of_text.astype(np.float32)[:, np.newaxis]
        return weights[:, np.newaxis]

    @once
    def _real(self) -> NDArray[np.bool_]:
        """Which cells hold a token: (N, S)"""
        return self.steps < self.lengths[:, np.newaxis]

    @once
    def _places(self) -> tuple[Numbers, Numbers]:
        """Of each token, its box and where it lies in it: (T,) each."""
        if self.is_long:
            left = self.block_lengths - self.block_positions  # may be more than the block holds
            boxes, places = np.nonzero(np.arange(self._block_size) < left[:, np.newaxis])
        else:
            boxes, places = np.nonzero(self._real)
        return boxes, places

    @once
    def _block_size(self) -> int:
        """B: the longest text in the fewest blocks, all about equal."""
        width = len(self.steps)
        return -(-width // -(-width // self._block))

    @once
    def _blocks_of_text(self) -> Numbers:
        """(N,)"""
        return -(-self.lengths // self._block_size)

    @once
    def _text_of_block(self) -> NDArray[np.intp]:
        """(M,)"""
        return np.repeat(np.arange(len(self.lengths)), self._blocks_of_text)


@lru_cache
def _steps(width: int) -> tuple[Numbers, Places]:
    """0 to width, in both types."""
    return np.arange(width), np.arange(width, dtype=np.int32)
