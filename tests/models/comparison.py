"""A tiny replica of one structure: exported, then compared with plain sentence-transformers.

Nothing of the export's own verification or reading takes part: the folder is loaded as anybody
would, and `encode` is called with one text at a time. Only where a repository's own code would be
needed, which is not here, the translated folder is loaded in its place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from export import ExportOptions, Serving, export_model
from export.errors import UnsupportedModel
from export.translations import translated
from tests.checkpoints import ARCHITECTURES, Architecture, make_checkpoint
from tests.models.staged import Staged

Floats = NDArray[np.float32]

MIN_COSINE = 0.99999  # another order of summation stays above 0.999999
MAX_NORM_DIFFERENCE = 1e-4  # as a share of the norm
TEXTS = (
    "",
    "  white space at both ends\n ",
    "SHOUTED in Capitals: ÄÖÜ ŒUVRE ΣΊΣΥΦΟΣ İSTANBUL",
    "面包为什么这么好吃？パンはなぜおいしいのですか。빵은 왜 맛있어요?",
    "naïve façade cre\u0300me bru\u0302le\u0301e ﬁne ½ Ⅷ",
    "🍞🥖 👩‍👩‍👧‍👦 🇩🇪 👍🏽",
    " ".join(f"word{number % 7} the baker" for number in range(100)),
    "one <pad> two[PAD]three </s> <s> [CLS] [SEP] [MASK] <unk> <|endoftext|> four",
    "def f(x):\n\treturn {'a': [x ** 2 for _ in range(10)]}  # code\r\n",
    "3.14159 -1e-7 $1,000.00 50% 2026-11-26 0x1F ١٢٣",
    "لماذا الخبز لذيذ جدا؟ למה לחם כל כך טעים?",
    "before\x00after \x07\x1b[0m \u200b\ufeff\u202e invisible",
)


@dataclass(frozen=True)
class Call:
    """One way to ask for a vector, of the service and of sentence-transformers."""

    name: str  # for people
    asked: str | None  # the service's `prompt`
    theirs: dict[str, Any]  # arguments of `encode`


@dataclass(frozen=True)
class Outcome:
    """What came of one structure."""

    how: str  # it is served
    min_cosine: float  # of all texts and prompts, alone and together


def compare(structure: str, folder: Path) -> Outcome:
    """Export a structure and compare it.

    Raises: ExportError; AssertionError if more than the direction of a vector differs.
    """
    kind = ARCHITECTURES[structure]
    checkpoint = make_checkpoint(folder / structure, structure)
    staged = export(checkpoint, kind, folder / "models", structure)
    with translated(checkpoint) as (read, line):
        theirs = plain(read, kind)
    worst = 1.0
    for call in calls(theirs):
        expected = encode(theirs, call)
        assert staged.dimensions == expected.shape[1]
        alone = np.concatenate([staged.embed([text], call.asked) for text in TEXTS])
        together = staged.embed(TEXTS, call.asked)
        for found in (alone, together):
            worst = min(worst, agreement(found, expected, normalizes(theirs)))
    return Outcome("translated" if line else _as_asked(kind), worst)


def _as_asked(kind: Architecture) -> str:
    return "as it is" if kind.modules else f"with `--pooling {kind.pooling_option}`"


def export(checkpoint: Path, kind: Architecture, output: Path, name: str) -> Staged:
    """Export a replica into an output; one that does not say its pooling is refused first."""
    options: dict[str, Any] = {
        "output": output,
        "checkpoint": str(checkpoint),
        "serving": Serving(served_name=name),
    }
    if kind.pooling_option:
        with pytest.raises(UnsupportedModel, match="give --pooling"):
            export_model(ExportOptions(**options), report=lambda line: None)
        options["pooling"] = kind.pooling_option
    result = export_model(ExportOptions(**options), report=lambda line: None)
    return Staged(output, result.manifest)


def plain(folder: Path, kind: Architecture) -> SentenceTransformer:
    """The checkpoint as anybody loads it."""
    weights = {"dtype": torch.float32}
    if kind.modules:
        return SentenceTransformer(str(folder), device="cpu", model_kwargs=weights)
    transformer = Transformer(str(folder), model_kwargs=weights)
    pooling = Pooling(transformer.get_embedding_dimension(), kind.pooling)
    return SentenceTransformer(modules=[transformer, pooling], device="cpu")


def calls(theirs: SentenceTransformer) -> Iterator[Call]:
    """Without a word about a prompt, with none, and with each that the checkpoint has."""
    yield Call("default", None, {})
    if theirs.default_prompt_name:
        yield Call("none", "", {"prompt": ""})
    for name, text in theirs.prompts.items():
        if text:
            yield Call(name, text, {"prompt_name": name})


def encode(theirs: SentenceTransformer, call: Call) -> Floats:
    """(N, D) of TEXTS, each in a call of its own."""
    return np.concatenate([theirs.encode([text], batch_size=1, **call.theirs) for text in TEXTS])


def normalizes(theirs: SentenceTransformer) -> bool:
    return any(isinstance(module, Normalize) for module in theirs)


def agreement(found: Floats, expected: Floats, any_length: bool) -> float:
    """The lowest cosine of two (N, D), row by row in float64; two zeros agree.

    any_length  whether the lengths of the rows may differ

    Raises: AssertionError if shapes or lengths do.
    """
    assert found.shape == expected.shape
    ours, theirs = found.astype(np.float64), expected.astype(np.float64)
    norms = np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1)
    if not any_length:
        np.testing.assert_allclose(*norms, rtol=MAX_NORM_DIFFERENCE)
    zero = (norms[0] == 0) & (norms[1] == 0)
    product = np.where(zero, 1.0, norms[0] * norms[1])
    cosines = np.where(zero, 1.0, (ours * theirs).sum(axis=1) / product)
    return float(cosines.min())
