"""The staged encoder against sentence-transformers on the checkpoint, worst case and not mean.

It runs as the step runs it, in every composition of a batch, on the CPU whatever its target.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from export.errors import VerificationFailed
from export.sample import Floats, Sample
from export.serving import Precision, Serving
from export.steps.batching import Batcher
from export.steps.inference import CpuEncoder, cosines
from export.steps.memory import Memory
from export.steps.quantization import normalize

MIN_COSINE: dict[Precision, float] = {
    "fp32": 0.99999,  # another order of summation stays above 0.999999
    "fp16": 0.9999,  # all-MiniLM-L6-v2 has 0.999998
    "bf16": 0.999,  # 0.99988
    "int8": 0.97,  # 0.987; what counts is the recall, export/graph/quality.py
}
# Of unit vectors, the same text among other neighbours. In halves a sum in another order may round
# to the next half, which all layers behind it feel: an EmbeddingGemma has 1.3e-4, most have 0.
MAX_COMPOSITION_DIFFERENCE: dict[Precision, float] = {
    "fp32": 1e-5,
    "int8": 1e-5,
    "bf16": 1e-5,
    "fp16": 2e-3,
}


@dataclass(frozen=True, slots=True)
class Verification:
    """What was measured, worst case over all texts and compositions."""

    texts: int
    longest_text_tokens: int
    min_cosine: float
    min_cosine_text: str
    max_abs_difference: float  # of pooled embeddings before normalization
    max_composition_difference: float  # of unit vectors: alone, among others, in other orders
    torch_min_cosine: float | None = None  # of torch itself in the same precision, below float32


def verify(model_onnx: Path, sample: Sample, serving: Serving) -> Verification:
    """Compare the staged encoder with what is expected of it.

    Raises: VerificationFailed with the measurement that is out of bounds.
    """
    threads = min(serving.threads, len(os.sched_getaffinity(0)))  # of this machine
    encoder = CpuEncoder(model_onnx, threads, serving.settled_precision)
    alone, *others = _compositions(encoder, sample.rows, serving)
    measured = measure(sample, alone, others)
    _check_bounds(measured, serving.settled_precision)
    return measured


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
    with tqdm(rows, desc="Verifying", unit="text", leave=False) as bar:
        yield np.concatenate([encoder.embed(row, lengths[i : i + 1]) for i, row in enumerate(bar)])
    memory = Memory(encoder.text_bytes, encoder.threads, serving.memory_mib)
    budgets = (10**9, serving.settled_tokens, 64)
    for budget, arranged in zip(budgets, (order, order[::-1], shuffled), strict=True):
        input_ids = np.concatenate([rows[i] for i in arranged])
        with closing(Batcher(encoder, budget, memory)) as batcher:
            found = batcher.submit(input_ids, lengths[arranged]).result()
        yield found[np.argsort(arranged)]


def measure(sample: Sample, alone: Floats, others: list[Floats]) -> Verification:
    """The worst case: each text alone, and in each other composition (N, D)."""
    compositions = [alone, *others]
    found = [cosines(vectors, sample.expected) for vectors in compositions]
    lowest = np.stack(found).min(axis=0)  # (N,)
    worst = int(lowest.argmin())
    return Verification(
        texts=len(sample.texts),
        longest_text_tokens=max(map(len, sample.rows)),
        min_cosine=float(lowest[worst]),
        min_cosine_text=sample.texts[worst][:60],
        max_abs_difference=max(
            float(abs(vectors - sample.expected).max()) for vectors in compositions
        ),
        max_composition_difference=max(
            float(abs(normalize(vectors) - normalize(alone)).max()) for vectors in others
        ),
    )


def _check_bounds(measured: Verification, precision: Precision) -> None:
    advice = "" if precision == "fp32" else ": export with --precision fp32"
    if measured.min_cosine < MIN_COSINE[precision]:
        raise VerificationFailed(
            f"cosine {measured.min_cosine:.6f} to the reference for the text "
            f"{measured.min_cosine_text!r}, at least {MIN_COSINE[precision]} is needed{advice}"
        )
    allowed = MAX_COMPOSITION_DIFFERENCE[precision]
    if measured.max_composition_difference > allowed:
        raise VerificationFailed(
            f"the same text differs by {measured.max_composition_difference:.1e} among other "
            f"neighbours, at most {allowed:.0e} is allowed{advice}"
        )
