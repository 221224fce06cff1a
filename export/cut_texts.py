"""Whether a tokenizer finds the same tokens in the segments of a text as in the whole, tried."""

import random
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from export.graph.quality import real_texts
from export.long_texts import PARTS, WORDS, long_texts
from export.sample import TEXTS
from export.steps.tokenization import KEEP_END, KEEP_START, REFUSE, InputTooLong, PackedTokenizer

SHORT, LONG = 2048, 64  # tokens of a limit that few texts reach, and of one that most are above
MIXTURES, REAL_TEXTS, LONG_TEXTS = 2000, 1000, 40
CALL_TEXTS = 40  # of different kinds, as callers send them
ADDED_TOKENS = 8  # of thousands that some tokenizers have
TRIED_MIB = 1  # for segments


def why_uncut(tokenizer_json: Path, max_length: int, added_tokens: Sequence[str]) -> str:
    """Why texts may not be cut into segments; nothing if they may."""
    short, long = min(SHORT, max_length), min(LONG, max_length)
    texts = [*_corpus(), *short_texts(added_tokens)]
    together = [" ".join(_corpus()[start::LONG_TEXTS]) for start in range(LONG_TEXTS)]
    long_ones = [*[*long_texts(added_tokens)][-LONG_TEXTS:], *together]
    return _why_uncut(tokenizer_json, short, texts, (KEEP_START,)) or _why_uncut(
        tokenizer_json, long, long_ones, (KEEP_END, KEEP_START, REFUSE)
    )


def _why_uncut(
    tokenizer_json: Path, limit: int, texts: Sequence[str], truncations: Sequence[int]
) -> str:
    cut = PackedTokenizer(tokenizer_json, limit, segments_mib=TRIED_MIB, are_tireless=True)
    if cut.engine != "segments":
        return cut.why_no_segments
    whole = PackedTokenizer(tokenizer_json, limit, windows=False)
    for start in range(0, len(texts), CALL_TEXTS):
        call = texts[start : start + CALL_TEXTS]
        for truncation in truncations:
            if _outcome(cut, call, truncation) != _outcome(whole, call, truncation):
                return f"its ids are others in segments, text {start} to {start + len(call)}"
    return ""


def _outcome(tokenizer: PackedTokenizer, texts: Sequence[str], truncation: int) -> object:
    """The ids of texts and their lengths, or which are refused."""
    try:
        ids, lengths = tokenizer.tokenize(texts, truncation)
    except InputTooLong as error:
        return error.overflows
    return ids.tobytes(), lengths.tobytes()


@cache
def _corpus() -> list[str]:
    return real_texts(REAL_TEXTS)


def short_texts(added_tokens: Sequence[str]) -> Iterator[str]:
    """Texts that hurt, and mixtures of words, of what hurts and of added tokens, with blanks."""
    draw = random.Random(1)  # noqa: S311 - the same at every export
    added = draw.sample(added_tokens, min(len(added_tokens), ADDED_TOKENS))
    yield from TEXTS
    for _ in range(MIXTURES):
        text = ""
        for _ in range(draw.randint(1, 12)):
            kind = draw.choice((WORDS, WORDS, WORDS, PARTS, PARTS, added or WORDS))
            text += draw.choice(kind) + draw.choice(("", " ", " ", " ", "  ", "\n"))
        yield text
