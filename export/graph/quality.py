"""What int8 weights cost in nearest neighbours and bring in speed, on real text."""

import ast
import importlib.util
import random
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from export.errors import VerificationFailed
from export.steps.batching import Batcher
from export.steps.inference import CpuEncoder
from export.steps.memory import Memory
from export.steps.quantization import normalize
from export.steps.tokenization import PackedTokenizer

Floats = NDArray[np.float32]

TEXTS = 5000
NEIGHBOURS = 10
# A retrieval that loses one neighbour in twenty is another retrieval.
MIN_RECALL = 0.95
CALIBRATION_TEXTS = 1024  # beside the TEXTS that are measured
SOURCES = ("torch", "numpy", "asyncio", "email", "unittest")  # installed wherever one exports
CALL_TEXTS = 256  # as a client sends them


@dataclass(frozen=True, slots=True)
class Run:
    """One encoder over the corpus: (N, D) unit vectors and how fast they came."""

    embeddings: Floats
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class Quality:
    """int8 against float32 on the same texts and machine, one after the other."""

    corpus_texts: int
    recall_at_10: float
    fp32_tokens_per_second: float
    int8_tokens_per_second: float


def compare(exact: Run, rounded: Run) -> Quality:
    """Raises: VerificationFailed below MIN_RECALL."""
    found = recall(exact.embeddings, rounded.embeddings)
    if found < MIN_RECALL:
        raise VerificationFailed(
            f"int8 keeps {found:.3f} of the {NEIGHBOURS} nearest neighbours, at least {MIN_RECALL} "
            "is needed: export with --precision fp32"
        )
    return Quality(
        corpus_texts=len(exact.embeddings),
        recall_at_10=found,
        fp32_tokens_per_second=exact.tokens_per_second,
        int8_tokens_per_second=rounded.tokens_per_second,
    )


def embed_corpus(model_onnx: Path, tokenizer: PackedTokenizer, max_tokens: int, name: str) -> Run:
    """The corpus through one encoder, in calls of 256 texts.

    max_tokens  of a micro-batch
    name        of the precision, for the progress bar
    """
    texts = real_texts(TEXTS + CALIBRATION_TEXTS)[:TEXTS]
    calls = [texts[start : start + CALL_TEXTS] for start in range(0, len(texts), CALL_TEXTS)]
    tokenized = [tokenizer.tokenize(call) for call in calls]
    encoder = CpuEncoder(model_onnx)
    memory = Memory(encoder.text_bytes, encoder.threads)
    with closing(Batcher(encoder, max_tokens, memory)) as batcher:
        started = time.perf_counter()
        rows = [
            batcher.submit(*call).result()
            for call in tqdm(tokenized, desc=f"Embedding, {name}", unit="call", leave=False)
        ]
        seconds = time.perf_counter() - started
    tokens = sum(len(ids) for ids, _ in tokenized)
    return Run(normalize(np.concatenate(rows)), tokens / seconds)


def recall(exact: Floats, approximate: Floats, neighbours: int = NEIGHBOURS) -> float:
    """Share of each text's nearest neighbours that the approximate vectors find too.

    exact, approximate  (N, D) unit vectors of the same texts; a text is not its own neighbour
    """
    expected, found = (_nearest(vectors, neighbours) for vectors in (exact, approximate))
    kept = [len(set(a) & set(b)) for a, b in zip(expected.tolist(), found.tolist(), strict=True)]
    return float(np.mean(kept) / neighbours)


def _nearest(embeddings: Floats, neighbours: int) -> NDArray[np.intp]:
    """The indices of each row's nearest rows by cosine: (N, neighbours), unordered."""
    scores = embeddings @ embeddings.T
    np.fill_diagonal(scores, -np.inf)
    return np.argpartition(-scores, neighbours, axis=1)[:, :neighbours]


def calibration_texts() -> list[str]:
    """Texts like those that are measured, and none of them."""
    return real_texts(TEXTS + CALIBRATION_TEXTS)[TEXTS:]


def real_texts(count: int) -> list[str]:
    """Paragraphs that people wrote: unique, from the docstrings of installed libraries.

    The same at every call; at most `count`.
    """
    paths = [path for source in SOURCES for path in sorted(_folder(source).rglob("*.py"))]
    random.Random(0).shuffle(paths)  # noqa: S311 - the same at every call
    texts: dict[str, None] = {}
    for path in paths:
        texts.update(dict.fromkeys(_paragraphs(path)))
        if len(texts) >= count:
            break
    return list(texts)[:count]


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _paragraphs(path: Path) -> Iterator[str]:
    """Paragraphs of 8 to 200 words in the docstrings of one file, examples left out."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # a test file that is broken on purpose
        return
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        docstring = ast.get_docstring(node) if isinstance(node, documented) else None
        for paragraph in (docstring or "").split("\n\n"):
            words = paragraph.split()
            if 8 <= len(words) <= 200 and ">>>" not in words:
                yield " ".join(words)
