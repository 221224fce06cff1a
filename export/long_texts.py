"""Whether a tokenizer finds the tokens of a long text in windows, tried on texts that hurt."""

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from export.steps.tokenization import KEEP_END, KEEP_START, REFUSE, InputTooLong, PackedTokenizer

# What windows look for does not depend on the limit, and a low one makes short texts long.
MAX_LENGTH = 64
CHARACTERS = 4000  # above what is tokenized whole in any script
MIXTURES = 60
ADDED_TOKENS = 8  # of thousands that some tokenizers have
# Runs that Unigram goes through only where many tokens are asked for.
RUN_MAX_LENGTH = 512
RUN_CHARACTERS = 20_000

# Alone, and among each other: where a window ends, one of these is cut.
PARTS = (
    ".", "...", "-", "=", "#", " ", "  ", "\t", "\n", "\r\n", " \n", "\n\n  ", "\xa0", "\u3000",
    "a", "ab", "Aa", "7", "123", "12,345.6", "don't ", "x ", "(a+b)*", '{"k":1},', "e\u0301",
    "\u0301", "\u0323\u0301", "ﬁ", "½", "﷽", "ß", "İ", "面", "面包", "。", "パン", "ﾊﾟ", "한",
    "\u1112\u1161\u11ab", "ไทย", "हिन्दी", "العربية", "👩\u200d👩\u200d👧\u200d👦", "🇩🇪", "👍🏽",
    "❤\ufe0f", "\u200b", "\x00", "▁", "<0xE2>",
)  # fmt: skip
WORDS = (
    "the", "bread", "of", "Straße", "naïve", "хлеб", "1234567", "e-mail", "x=f(y);",
    "https://example.org/a?b=c",
)  # fmt: skip


def windows_hold(tokenizer_json: Path, max_length: int, added_tokens: Sequence[str]) -> bool:
    """Whether windows give the tokens of the whole text, at either end, and their number."""
    return all(
        _hold_for(tokenizer_json, min(max_length, limit), texts)
        for limit, texts in (
            (MAX_LENGTH, long_texts(added_tokens)),
            (RUN_MAX_LENGTH, long_runs()),
        )
    )


def _hold_for(tokenizer_json: Path, limit: int, texts: Iterable[str]) -> bool:
    windows = PackedTokenizer(tokenizer_json, limit)
    if not windows.has_windows:
        return False
    whole = PackedTokenizer(tokenizer_json, limit, windows=False)
    return all(
        _outcome(windows, text, truncation) == _outcome(whole, text, truncation)
        for text in texts
        for truncation in (KEEP_END, KEEP_START, REFUSE)
    )


def _outcome(tokenizer: PackedTokenizer, text: str, truncation: int) -> list[int]:
    """The tokens of a text, or how many there are if it is refused."""
    try:
        return tokenizer.tokenize([text], truncation)[0].tolist()
    except InputTooLong as error:
        return [length for _, length in error.overflows]


def long_runs() -> Iterator[str]:
    """Parts and words without a blank, each repeated so often that most of it is left out."""
    for part in (".", "-=", "a", "ab", "123", *WORDS):
        yield part * (RUN_CHARACTERS // len(part))


def long_texts(added_tokens: Sequence[str]) -> Iterator[str]:
    """Each part repeated, then mixtures of a few parts, words and added tokens."""
    draw = random.Random(0)  # noqa: S311 - the same at every export
    added = draw.sample(added_tokens, min(len(added_tokens), ADDED_TOKENS))
    yield from (part * (CHARACTERS // len(part)) for part in (*PARTS, *added))
    parts = [*PARTS, *WORDS, *added]
    for _ in range(MIXTURES):
        chosen = [*draw.sample(parts, draw.randint(1, 6)), *draw.sample(added, min(len(added), 1))]
        text = ""
        while len(text) < CHARACTERS:
            text += draw.choice(chosen) * draw.choice((1, 1, 1, 2, 3, 24, 150))
            text += draw.choice(("", "", " "))
        yield text
