"""What one caller asks for, and what is taken of it at a time."""

import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Embeddings = NDArray[np.float32]

log = logging.getLogger(__name__)

ALL = slice(None)
ONE_TEXT = np.zeros(1, dtype=np.intp)  # its order


class Answer(Protocol):
    """Who waits for embeddings, and is told once: a Future, or what costs less than one."""

    def set_result(self, embeddings: Embeddings, /) -> None:
        """(N, D) float32, one row a text, in the order they came in."""
        ...

    def set_exception(self, error: Exception, /) -> None: ...


class Request:
    """Texts of one caller, longest first: some waiting, some taken, some embedded."""

    def __init__(self, input_ids: Ids, seq_lens: Lengths, answer: Answer) -> None:
        """Copies the arrays that it is given.

        input_ids  (T,) int64, all texts one after the other
        seq_lens   (N,) int32, tokens of each text, T in sum

        Raises: ValueError if they are empty or do not fit together.
        """
        texts, tokens = len(seq_lens), len(input_ids)
        if not _fit_together(seq_lens, tokens):
            raise ValueError("SEQ_LENS must count the tokens of each text in INPUT_IDS")
        self.tokens = self.waiting_tokens = tokens  # waiting: of texts not yet taken
        self.waiting_texts = self._missing = texts
        if texts == 1:  # the same, for a tenth of the time
            self._order = ONE_TEXT
            self._lengths = self._ends = seq_lens.copy()
            self._ids = input_ids.copy()
        else:
            self._order = np.argsort(seq_lens, kind="stable")[::-1]
            self._lengths = seq_lens[self._order]
            self._ends = np.cumsum(self._lengths)
            self._ids = input_ids[_tokens_in_order(seq_lens, self._order)]
        self.longest = int(self._lengths[0])  # tokens of the longest text that waits
        self._answer = answer
        self._has_failed = False
        self._rows: Embeddings | None = None

    def take(self, max_tokens: int, max_texts: int) -> "Slice":
        """The longest texts that wait, as many as fit both, at least one."""
        if self.waiting_tokens <= max_tokens and self.waiting_texts <= max_texts:
            return self.take_all()
        start, first = self.tokens - self.waiting_tokens, self._taken
        fitting = int(np.searchsorted(self._ends, start + max_tokens, side="right"))
        end = max(min(fitting, first + max_texts), first + 1)
        if end == len(self._lengths):
            return self.take_all()
        texts, tokens = slice(first, end), slice(start, int(self._ends[end - 1]))
        taken = Slice(self, texts, self.longest, self._ids[tokens], self._lengths[texts])
        self.waiting_tokens -= len(taken.input_ids)
        self.waiting_texts -= len(taken.seq_lens)
        self.longest = int(self._lengths[end])
        return taken

    def take_all(self) -> "Slice":
        """All texts that wait."""
        if self.waiting_texts == len(self._lengths):
            self.waiting_tokens = self.waiting_texts = 0
            return Slice(self, ALL, self.longest, self._ids, self._lengths)
        texts, tokens = slice(self._taken, None), slice(self.tokens - self.waiting_tokens, None)
        self.waiting_tokens = self.waiting_texts = 0
        return Slice(self, texts, self.longest, self._ids[tokens], self._lengths[texts])

    @property
    def _taken(self) -> int:
        """Texts."""
        return len(self._lengths) - self.waiting_texts

    def put(self, texts: slice, rows: Embeddings) -> bool:
        """Keeps the (N', D) embeddings of texts that were taken; are they the last?"""
        self._missing -= len(rows)
        if len(self._lengths) == 1:
            self._rows = rows
            return True
        if self._rows is None:
            self._rows = np.empty((len(self._lengths), rows.shape[1]), dtype=rows.dtype)
        self._rows[self._order[texts]] = rows
        return not self._missing

    def fail(self) -> bool:
        """Gives up on what is missing; is this the first time?"""
        had_failed, self._has_failed = self._has_failed, True
        return not had_failed

    def tell(self, error: Exception | None = None) -> None:
        """Answers with the error, or else with what was put."""
        try:
            if error:
                self._answer.set_exception(error)
            else:
                assert self._rows is not None
                self._answer.set_result(self._rows)
        except Exception:
            log.exception("an answer could not be given")


class Slice(NamedTuple):
    """Neighbouring texts of one request, in its own order."""

    request: Request
    texts: slice
    longest: int  # tokens
    input_ids: Ids  # (T',)
    seq_lens: Lengths  # (N',)


MicroBatch: TypeAlias = Sequence[Slice]


def _fit_together(seq_lens: Lengths, tokens: int) -> bool:
    """Whether there are texts, all of them of some tokens, and of so many in sum."""
    if len(seq_lens) == 1:
        return 0 < int(seq_lens[0]) == tokens
    return bool(len(seq_lens) and seq_lens.min() > 0 and seq_lens.sum() == tokens)


def _tokens_in_order(seq_lens: Lengths, order: NDArray[np.intp]) -> NDArray[np.int64]:
    """Where each token comes from when the texts are laid out in `order`: (T,) int64."""
    lengths = seq_lens[order].astype(np.int64)
    starts = np.cumsum(seq_lens, dtype=np.int64) - seq_lens
    new_starts = np.cumsum(lengths) - lengths
    tokens: NDArray[np.int64] = np.arange(lengths.sum())
    tokens += np.repeat(starts[order] - new_starts, lengths)
    return tokens
