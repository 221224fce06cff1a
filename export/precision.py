"""The precision that a model bears on a GPU, found out by torch on a CPU.

torch rounds after every operator, where a fused kernel does once; and a number that is too large
for float16 is one there, while it may pass unseen between the operators of a fused kernel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from tqdm import tqdm

from export.errors import ConversionFailed, UnsupportedModel, VerificationFailed, told
from export.graph.devices import without_kernel
from export.graph.encoder import GPU
from export.reference import Reference
from export.sample import Sample
from export.serving import Precision
from export.steps.inference import cosines
from export.verification import MIN_COSINE

TYPES: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Rounded:
    """The checkpoint in a precision, as a graph for a GPU.

    torch_min_cosine  of torch in that precision to float32; None in float32
    """

    precision: Precision
    model: ir.Model
    torch_min_cosine: float | None


def round_for_gpu(
    reference: Reference, sample: Sample, asked: Precision | None, report: Callable[[str], None]
) -> Rounded:
    """The graph in the precision that is asked for, or in fp16 if the model bears it, else bf16.

    Raises: VerificationFailed if torch in that precision is too far from float32; UnsupportedModel
    if a GPU has no kernels for it; ConversionFailed.
    """
    precision = asked or "fp16"
    try:
        return _round(reference, sample, precision, report)
    except (VerificationFailed, UnsupportedModel) as error:
        if asked:
            other = "bf16" if asked == "fp16" else "fp32"
            raise type(error)(f"{error}: export with --precision {other}") from error
        report(f"{error}: bf16 is used")
    return _round(reference, sample, "bf16", report)


def _round(
    reference: Reference, sample: Sample, precision: Precision, report: Callable[[str], None]
) -> Rounded:
    lowest = None
    if precision in TYPES:
        with told(VerificationFailed, f"torch cannot embed a text in {precision}"):
            reference = reference.rounded(TYPES[precision])
            lowest = _check(reference, sample, precision)
    report(f"Converting {reference.size:,} weights to ONNX, {precision}")
    with told(ConversionFailed, "the model cannot be converted"):
        model = reference.convert(GPU)
    if missing := without_kernel(model):
        raise UnsupportedModel(
            f"a {reference.spec.architecture} model in {precision} asks for {', '.join(missing)}, "
            "which GPUs have no kernel for"
        )
    return Rounded(precision, model, lowest)


def _check(rounded: Reference, sample: Sample, precision: Precision) -> float:
    """The lowest cosine of torch in a precision.

    Raises: VerificationFailed.
    """
    with tqdm(sample.rows, desc="Rounding", unit="text", leave=False) as bar:
        found = cosines(np.stack([rounded.embed(row) for row in bar]), sample.expected)
    lowest, text = float(found.min()), sample.texts[int(found.argmin())][:60]
    if lowest < 0:
        raise VerificationFailed(f"{precision} is too small for the numbers of the text {text!r}")
    if lowest < MIN_COSINE[precision]:
        raise VerificationFailed(
            f"torch in {precision} has cosine {lowest:.6f} to float32 for the text {text!r}, "
            f"at least {MIN_COSINE[precision]} is needed"
        )
    return lowest
