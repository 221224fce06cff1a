"""The precision that a model bears on a GPU, found out by torch on a CPU.

torch rounds after every operator, where a fused kernel does once; and a number that is too large
for float16 is one there, while it may pass unseen between the operators of a fused kernel.
"""

from collections.abc import Callable

import numpy as np
import torch

from export.errors import VerificationFailed
from export.reference import Reference
from export.sample import Sample
from export.serving import Precision
from export.verification import MIN_COSINE, cosines

TYPES: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16}
SHORT_TOKENS = 512  # of the texts that are tried: in halves, a CPU is slow


def choose_precision(
    reference: Reference,
    sample: Sample,
    asked: Precision | None,
    report: Callable[[str], None],
) -> tuple[Precision, Reference, float | None]:
    """What to serve in, the checkpoint in it, and the lowest cosine of torch, None in float32.

    asked  None for fp16 if the model bears it, else bf16

    Raises: VerificationFailed if torch in that precision is too far from float32.
    """
    if asked == "fp32":
        return asked, reference, None
    short = sample.shorter(SHORT_TOKENS)
    for precision in (asked,) if asked else ("fp16", "bf16"):
        rounded = reference.rounded(TYPES[precision])
        found = cosines(np.stack([rounded.embed(row) for row in short.rows]), short.expected)
        lowest, text = float(found.min()), short.texts[int(found.argmin())][:60]
        if lowest >= MIN_COSINE[precision]:
            return precision, rounded, lowest
        far = _far(precision, lowest, text)
        if precision == "fp16" and not asked:
            report(f"{far}: bf16 is used")
    raise VerificationFailed(f"{far}: export with --precision fp32")


def _far(precision: Precision, lowest: float, text: str) -> str:
    """What came out of torch, as the beginning of a sentence."""
    if lowest < 0:
        return f"{precision} is too small for this model's numbers, for the text {text!r}"
    return (
        f"{precision} has cosine {lowest:.6f} to float32 in torch, for the text {text!r}, "
        f"at least {MIN_COSINE[precision]} is needed"
    )
