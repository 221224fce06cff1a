"""What the tokenizer step serves against what `tokenizers` itself gives, text by text."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from tokenizers import Tokenizer

from export.cut_texts import why_uncut
from export.long_texts import windows_hold
from export.steps.tokenization import KEEP_END, KEEP_START, REFUSE, InputTooLong, PackedTokenizer
from tests.same_ids.shrinking import shrink, simplify
from tests.same_ids.structures import Structure, tokenizer_of

BLOCK_TEXTS = 2000  # before a fresh tokenizer, that knows nothing yet
DEFAULT_MIB = 32  # of the exporter
FEW_MIB = 1  # so that segments are forgotten and asked for again
GROUPS = (1, 1, 2, 7, 64, 256)  # texts of a call
TRUNCATIONS = {KEEP_START: "keep the start", KEEP_END: "keep the end", REFUSE: "refuse"}

Row: TypeAlias = list[int] | int | str  # ids; how many, if refused; what was raised


@dataclass(frozen=True, slots=True)
class Difference:
    """One text that is not served as it should be.

    before  what was served before it, if it is served well without that
    """

    text: str
    truncation: int
    expected: Row
    served: Row
    before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What `tokenizers` gives: all ids, and those that its own truncation leaves."""

    tokenizer: Tokenizer
    cutting: dict[int, Tokenizer]
    max_length: int

    @classmethod
    def of(cls, structure: Structure) -> Expected:
        """From the structure's own file."""
        cutting = {KEEP_START: tokenizer_of(structure), KEEP_END: tokenizer_of(structure)}
        for truncation, direction in ((KEEP_START, "right"), (KEEP_END, "left")):
            cutting[truncation].enable_truncation(structure.max_length, direction=direction)
        return cls(tokenizer_of(structure), cutting, structure.max_length)

    def __call__(self, texts: Sequence[str], truncation: int) -> list[Row]:
        """The ids of each text; how many they are where that is refused."""
        if truncation != REFUSE:
            encodings = self.cutting[truncation].encode_batch_fast(list(texts))
            return [encoding.ids for encoding in encodings]
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        return [row if len(row) <= self.max_length else len(row) for row in rows]


class Served:
    """The tokenizer as the step opens it, on what the exporter wrote for the step."""

    def __init__(self, structure: Structure, folder: Path) -> None:
        self._path = folder / "tokenizer.json"
        self._path.write_text(structure.tokenizer_json, encoding="utf-8")
        self._max_length = structure.max_length
        added = tokenizer_of(structure).get_added_tokens_decoder().values()
        contents = sorted(token.content for token in added)
        self._windows = windows_hold(self._path, structure.max_length, contents)
        self._is_cut = not why_uncut(self._path, structure.max_length, contents)

    def fresh(self) -> PackedTokenizer:
        """One that has seen no text, as the step opens it."""
        return self._open(DEFAULT_MIB, are_tireless=False)

    def eager(self) -> PackedTokenizer:
        """One that looks up the segments of every text, and soon forgets them."""
        return self._open(FEW_MIB, are_tireless=True)

    def _open(self, segments_mib: int, are_tireless: bool) -> PackedTokenizer:
        return PackedTokenizer(
            self._path,
            self._max_length,
            windows=self._windows,
            segments_mib=segments_mib if self._is_cut else 0,
            are_tireless=are_tireless,
        )

    @property
    def engine(self) -> str:
        """What serves, in a word or two."""
        tokenizer = self.fresh()
        return f"{tokenizer.engine}{', windows' if tokenizer.has_windows else ''}"


def _serve(tokenizer: PackedTokenizer, texts: Sequence[str], truncation: int) -> list[Row]:
    """As the step answers one request; a refused one is asked for again without what is long."""
    try:
        ids, lengths = tokenizer.tokenize([text.encode() for text in texts], truncation)
    except InputTooLong as error:
        long = dict(error.overflows)
        rest = [text for index, text in enumerate(texts) if index not in long]
        rows = iter(_serve(tokenizer, rest, truncation))
        return [long[index] if index in long else next(rows) for index in range(len(texts))]
    except Exception as error:  # which is a difference too
        return [repr(error) for _ in texts]
    ends = lengths.cumsum().tolist()
    flat = ids.tolist()
    return [flat[start:end] for start, end in pairwise([0, *ends])]


def differences(structure: Structure, served: Served, texts: Sequence[str]) -> Iterator[Difference]:
    """All that are found.

    Each text is served to a tokenizer as the step opens it, that has seen few, its start kept; then
    in another order and other groups to an eager one that has seen them all, each way to cut it.
    """
    expected = Expected.of(structure)
    draw = random.Random(len(texts))  # noqa: S311 - no secrets
    warm = served.eager()
    seen = list[str]()
    for start in range(0, len(texts), BLOCK_TEXTS):
        block = list(texts[start : start + BLOCK_TEXTS])
        seen += block
        wanted = {truncation: expected(block, truncation) for truncation in TRUNCATIONS}
        cold = served.fresh()
        yield from _compare(cold, block, wanted[KEEP_START], KEEP_START, draw, block)
        for truncation in (REFUSE, KEEP_END, KEEP_START):
            order = draw.sample(range(len(block)), len(block))
            shuffled = [block[i] for i in order]
            rows = [wanted[truncation][i] for i in order]
            yield from _compare(warm, shuffled, rows, truncation, draw, seen)


def _compare(
    tokenizer: PackedTokenizer,
    texts: Sequence[str],
    wanted: Sequence[Row],
    truncation: int,
    draw: random.Random,
    seen: Sequence[str],
) -> Iterator[Difference]:
    """In groups of many sizes."""
    start = 0
    while start < len(texts):
        end = start + draw.choice(GROUPS)
        rows = _serve(tokenizer, texts[start:end], truncation)
        for text, row, right in zip(texts[start:end], rows, wanted[start:end], strict=True):
            if row != right:
                yield Difference(text, truncation, right, row, tuple(seen))
        start = end


def smallest(structure: Structure, served: Served, difference: Difference) -> Difference:
    """The same, or a part of it that shows the same fault; with little before it, or nothing."""
    expected, truncation = Expected.of(structure), difference.truncation

    def after(before: Sequence[str], text: str) -> bool:
        tokenizer = served.eager()
        for start in range(0, len(before), GROUPS[-1]):
            _serve(tokenizer, before[start : start + GROUPS[-1]], truncation)
        return _serve(tokenizer, [text], truncation) != expected([text], truncation)

    text, before = difference.text, list(difference.before)
    if after([], text):
        before = []
    elif after(before, text):
        before = shrink(before, lambda fewer: after(fewer, text))
    else:
        return replace(difference, before=("texts before it in its own group or others",))
    text = shrink(text, lambda shorter: after(before, shorter))
    text = simplify(text, lambda changed: after(before, changed))
    tokenizer = served.eager()
    for one in before:
        _serve(tokenizer, [one], truncation)
    row = _serve(tokenizer, [text], truncation)[0]
    return Difference(text, truncation, expected([text], truncation)[0], row, tuple(before))
