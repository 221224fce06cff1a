"""The staged files against sentence-transformers on the checkpoint, worst case and not mean.

The reference runs one text at a time, unpadded, with the architecture's own attention. The staged
tokenizer.json and model.onnx run as the steps run them, in every composition of a batch.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tqdm import tqdm

from export.errors import VerificationFailed
from export.reference import Reference
from export.serving import Precision, Serving
from export.steps.batching import Batcher
from export.steps.inference import CpuEncoder
from export.steps.memory import Memory
from export.steps.quantization import normalize
from export.steps.tokenization import KEEP_END, KEEP_START, PackedTokenizer

Floats = NDArray[np.float32]

MIN_COSINE: dict[Precision, float] = {
    "fp32": 0.99999,  # another order of summation stays above 0.999999
    "int8": 0.97,  # all-MiniLM-L6-v2 has 0.987; what counts is the recall, export/graph/quality.py
}
# Tokens of a text that is embedded, at most: seven blocks of attention. At 32 768 tokens one text
# takes a model of 0.6 billion weights half an hour; its tokens are compared at any length.
LONG_TOKENS = 2048
ADDED_TOKENS = 8  # of thousands that some tokenizers have
MAX_COMPOSITION_DIFFERENCE = 1e-5  # of unit vectors, the same text among other neighbours

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
class Verification:
    """What was measured, worst case over all texts and compositions."""

    texts: int
    longest_text_tokens: int
    min_cosine: float
    min_cosine_text: str
    max_abs_difference: float  # of pooled embeddings before normalization
    max_composition_difference: float  # of unit vectors: alone, among others, in other orders
    windows: bool = True  # whether long texts are read in windows, which gave equal tokens


def verify(
    tokenizer_json: Path, model_onnx: Path, reference: Reference, serving: Serving, windows: bool
) -> Verification:
    """Compare the staged files with the reference.

    windows  whether the tokenizer step is told to read long texts in windows

    Raises: VerificationFailed with the measurement that is out of bounds.
    """
    limit = reference.spec.max_length
    packed = PackedTokenizer(tokenizer_json, limit, windows)
    threads = min(serving.threads, len(os.sched_getaffinity(0)))  # of this machine
    encoder = CpuEncoder(model_onnx, threads, serving.settled_precision)
    texts = hurting_texts(packed, limit, special_tokens(reference.tokenizer()))
    rows = check_tokens(packed, reference, texts)
    texts, rows = embedded(texts, rows)
    with tqdm(rows, desc="Verifying", unit="text", leave=False) as bar:  # gone before an error
        expected = np.stack([reference.embed(row) for row in bar])
    _check_finite(texts, expected)
    alone, *others = _compositions(encoder, rows, serving)
    measured = replace(measure(texts, rows, expected, alone, others), windows=windows)
    _check_bounds(measured, serving.settled_precision)
    return measured


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


def check_tokens(
    packed: PackedTokenizer, reference: Reference, texts: list[str]
) -> list[NDArray[np.int64]]:
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
    texts: list[str], rows: list[NDArray[np.int64]]
) -> tuple[list[str], list[NDArray[np.int64]]]:
    """The same, the first of those above LONG_TOKENS cut there and the others left out."""
    cut = [row[:LONG_TOKENS] for row in rows]
    first = next((index for index, row in enumerate(rows) if len(row) > LONG_TOKENS), None)
    kept = [i for i, row in enumerate(rows) if len(row) <= LONG_TOKENS or i == first]
    return [texts[i] for i in kept], [cut[i] for i in kept]


def _check_finite(texts: list[str], expected: Floats) -> None:
    """Raises: VerificationFailed if sentence-transformers gives vectors that hold no numbers."""
    for text, vector in zip(texts, expected, strict=True):
        if not np.isfinite(vector).all():
            raise VerificationFailed(
                "sentence-transformers itself gives numbers that are not finite, for the text "
                f"{text[:60]!r}"
            )


def _compositions(
    encoder: CpuEncoder,
    rows: list[NDArray[np.int64]],
    serving: Serving,
) -> Iterator[Floats]:
    """The embeddings (N, D) of the same texts: each alone, then among others, in text order.

    Among as many others as the memory of the service allows.
    """
    lengths = np.array([len(row) for row in rows], dtype=np.int32)
    order = np.arange(len(rows))
    shuffled = np.random.default_rng(seed=0).permutation(order)
    yield np.concatenate([encoder.embed(row, lengths[i : i + 1]) for i, row in enumerate(rows)])
    memory = Memory(encoder.text_bytes, encoder.threads, serving.memory_mib)
    budgets = (10**9, serving.settled_tokens, 64)
    for budget, arranged in zip(budgets, (order, order[::-1], shuffled), strict=True):
        input_ids = np.concatenate([rows[i] for i in arranged])
        with closing(Batcher(encoder, budget, memory)) as batcher:
            found = batcher.submit(input_ids, lengths[arranged]).result()
        yield found[np.argsort(arranged)]


def measure(
    texts: list[str],
    rows: list[NDArray[np.int64]],
    expected: Floats,
    alone: Floats,
    others: list[Floats],
) -> Verification:
    """The worst case: each text alone, and in each other composition (N, D)."""
    compositions = [alone, *others]
    cosines = np.stack([_cosines(found, expected) for found in compositions]).min(axis=0)  # (N,)
    worst = int(cosines.argmin())
    return Verification(
        texts=len(texts),
        longest_text_tokens=max(map(len, rows)),
        min_cosine=float(cosines[worst]),
        min_cosine_text=texts[worst][:60],
        max_abs_difference=max(float(abs(found - expected).max()) for found in compositions),
        max_composition_difference=max(
            float(abs(normalize(found) - normalize(alone)).max()) for found in others
        ),
    )


def _cosines(found: Floats, expected: Floats) -> NDArray[np.float64]:
    """Cosine similarity row by row, in float64: (N, D), (N, D) → (N,)."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    both_zero = (norms[0] == 0) & (norms[1] == 0)  # a static embedding of no token
    with np.errstate(invalid="ignore"):
        cosines = np.where(both_zero, 1.0, (a * b).sum(axis=1) / (norms[0] * norms[1]))
    return np.nan_to_num(cosines, nan=-1.0)


def _check_bounds(measured: Verification, precision: Precision) -> None:
    advice = "" if precision == "fp32" else ": export with --precision fp32"
    if measured.min_cosine < MIN_COSINE[precision]:
        raise VerificationFailed(
            f"cosine {measured.min_cosine:.6f} to the reference for the text "
            f"{measured.min_cosine_text!r}, at least {MIN_COSINE[precision]} is needed{advice}"
        )
    if measured.max_composition_difference > MAX_COMPOSITION_DIFFERENCE:
        raise VerificationFailed(
            f"the same text differs by {measured.max_composition_difference:.1e} among other "
            f"neighbours, at most {MAX_COMPOSITION_DIFFERENCE:.0e} is allowed{advice}"
        )
