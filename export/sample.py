"""Texts that hurt, their tokens, and what sentence-transformers makes of them.

The reference runs one text at a time, unpadded, with the architecture's own attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tqdm import tqdm

from export.errors import VerificationFailed
from export.reference import Reference
from export.steps.tokenization import KEEP_END, KEEP_START, PackedTokenizer

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

# Tokens of a text that is embedded, at most: seven blocks of attention. At 32 768 tokens one text
# takes a model of 0.6 billion weights half an hour; its tokens are compared at any length.
LONG_TOKENS = 2048
GPU_LONG_TOKENS = 512  # of a model for a GPU: its attention and torch's halves are slow on a CPU
ADDED_TOKENS = 8  # of thousands that some tokenizers have

# Texts that have broken embedding servers before: lengths, scripts, and bytes.
TEXTS = (
    "",
    " ",
    "a",
    "The quick brown fox jumps over the lazy dog.",
    "Why is bread so tasty?",
    "I'm sure they'd've said \"no\" -- e.g. 3.14159, 50%, $1,000.00 & more…",
    "def f(x):\n\treturn {'a': [x ** 2 for _ in range(10)]}  # code\r\n",
    "https://example.org/a?b=c&d=%20#fragment user@example.org",
    "面包为什么这么好吃？パンはなぜおいしいのですか。빵은 왜 맛있어요?",
    "لماذا الخبز لذيذ جدا؟ למה לחם כל כך טעים? रोटी इतनी स्वादिष्ट क्यों है?",
    "🍞🥖 👩‍👩‍👧‍👦 🇩🇪 e\u0301 ﬁ Ⅷ ½ ﷽",
    "before\x00after \u200b\ufeff\u202e invisible",
    "[CLS] [SEP] [MASK] <s> </s> <|endoftext|> special tokens as text",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" * 3,
    " ".join(f"word{i}" for i in range(40)),
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """N texts, the ids of each, and the embeddings (N, D) that the checkpoint gives them."""

    texts: list[str]
    rows: list[Ids]
    expected: Floats

    def shorter(self, most_tokens: int) -> "Sample":
        """Those of its texts that have so many tokens at most."""
        kept = [index for index, row in enumerate(self.rows) if len(row) <= most_tokens]
        return Sample(
            [self.texts[index] for index in kept],
            [self.rows[index] for index in kept],
            self.expected[kept],
        )


def take_sample(
    tokenizer_json: Path,
    reference: Reference,
    windows: bool,
    longest: int = LONG_TOKENS,
    segments_mib: int = 0,
) -> Sample:
    """Tokens found equal to the checkpoint's own, and its embeddings of them.

    windows       whether the tokenizer step is told to read long texts in windows
    longest       tokens of a text that is embedded, at most
    segments_mib  that the tokenizer step is given

    Raises: VerificationFailed naming the text.
    """
    limit = reference.spec.max_length
    packed = PackedTokenizer(tokenizer_json, limit, windows, segments_mib)
    texts = hurting_texts(packed, limit, special_tokens(reference.tokenizer()))
    texts, rows = embedded(texts, check_tokens(packed, reference, texts), longest)
    with tqdm(rows, desc="Embedding", unit="text", leave=False) as bar:  # gone before an error
        expected = np.stack([reference.embed(row) for row in bar])
    _check_finite(texts, expected)
    return Sample(texts, rows, expected)


def hurting_texts(
    tokenizer: PackedTokenizer, max_length: int, added_tokens: Sequence[str] = ()
) -> list[str]:
    """TEXTS, added tokens as words of a text, and texts about and far over the limit."""
    words = ["one", "two", "three", "four", "five"]
    specials = len(tokenizer.tokenize([""])[0])
    counts = [max_length - specials + extra for extra in (-1, 0, 1, max_length)]
    return [
        *TEXTS,
        *(f"one {token} two{token}three" for token in added_tokens),
        *(" ".join((words * count)[:count]) for count in counts if count > 0),
    ]


def check_tokens(packed: PackedTokenizer, reference: Reference, texts: list[str]) -> list[Ids]:
    """Token ids of each text, found equal to the checkpoint's own, cut at either end.

    Raises: VerificationFailed naming the text.
    """
    for truncation, side in ((KEEP_END, "left"), (KEEP_START, "right")):
        input_ids, seq_lens = packed.tokenize(texts, truncation)
        rows = np.split(input_ids, np.cumsum(seq_lens)[:-1])
        for text, row in zip(texts, rows, strict=True):
            if row.tolist() != reference.ids(text, side):
                raise VerificationFailed(f"other tokens than the reference's, text {text[:60]!r}")
    return rows


def special_tokens(tokenizer: Tokenizer) -> list[str]:
    """Some of the tokens that a text can hold as they stand; padding has a meaning of its own."""
    added = tokenizer.get_added_tokens_decoder()
    return [added[number].content for number in sorted(added)][:ADDED_TOKENS]


def embedded(
    texts: list[str], rows: list[Ids], longest: int = LONG_TOKENS
) -> tuple[list[str], list[Ids]]:
    """The same, the first of those above the longest cut there and the others left out."""
    cut = [row[:longest] for row in rows]
    first = next((index for index, row in enumerate(rows) if len(row) > longest), None)
    kept = [i for i, row in enumerate(rows) if len(row) <= longest or i == first]
    return [texts[i] for i in kept], [cut[i] for i in kept]


def _check_finite(texts: list[str], expected: Floats) -> None:
    """Raises: VerificationFailed if sentence-transformers gives vectors that hold no numbers."""
    for text, vector in zip(texts, expected, strict=True):
        if not np.isfinite(vector).all():
            raise VerificationFailed(
                "sentence-transformers itself gives numbers that are not finite, for the text "
                f"{text[:60]!r}"
            )
