"""model.onnx for a target, in its precision, verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from export.errors import ConversionFailed, UnsupportedModel, VerificationFailed, told
from export.reference import Reference
from export.sample import Sample
from export.serving import Serving
from export.verification import Verification, verify

if TYPE_CHECKING:
    from export.graph.quality import Quality

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Encoder:
    """What was written, and what was measured of it.

    serving  with nothing left to choose
    quality  of int8 against float32; None for other precisions
    """

    serving: Serving
    verification: Verification
    quality: Quality | None = None


def write_encoder(
    reference: Reference,
    sample: Sample,
    tokenizer_json: Path,
    model_onnx: Path,
    serving: Serving,
    report: Report,
) -> Encoder:
    """Convert, write and verify.

    Raises: ConversionFailed, UnsupportedModel, VerificationFailed; OSError.
    """
    if serving.is_on_gpu:
        return _write_for_gpu(reference, sample, model_onnx, serving, report)
    report(f"Converting {reference.size:,} weights to ONNX, {serving.precision}")
    with told(ConversionFailed, "the model cannot be converted"):
        quality = _write_for_cpu(reference, tokenizer_json, model_onnx, serving)
    return Encoder(serving, _verify(model_onnx, sample, serving, report), quality)


def _verify(model_onnx: Path, sample: Sample, serving: Serving, report: Report) -> Verification:
    report("Verifying the staged files against sentence-transformers")
    with told(VerificationFailed, "a text cannot be embedded"):
        return verify(model_onnx, sample, serving)


def _write_for_cpu(
    reference: Reference, tokenizer_json: Path, model_onnx: Path, serving: Serving
) -> Quality | None:
    """Write model.onnx; int8 is compared with float32 on the way."""
    from export.graph.calibration import watch_inputs
    from export.graph.encoder import write_model
    from export.graph.int8 import linears, use_int8
    from export.graph.quality import calibration_texts, compare, embed_corpus
    from export.steps.tokenization import PackedTokenizer

    model = reference.convert()
    write_model(model, model_onnx)
    if serving.precision == "fp32":
        return None
    if not linears(model):
        raise UnsupportedModel(
            f"a {reference.spec.architecture} model multiplies no weights that int8 could round: "
            "export with --precision fp32"
        )
    tokenizer = PackedTokenizer(tokenizer_json, reference.spec.max_length)
    exact = embed_corpus(model_onnx, tokenizer, serving.settled_tokens, "fp32")
    use_int8(model, watch_inputs(model, tokenizer, calibration_texts()))
    write_model(model, model_onnx)
    return compare(exact, embed_corpus(model_onnx, tokenizer, serving.settled_tokens, "int8"))


def _write_for_gpu(
    reference: Reference, sample: Sample, model_onnx: Path, serving: Serving, report: Report
) -> Encoder:
    """Write model.onnx as a CPU runs it and verify it; then as the GPU does.

    What differs: bf16, which onnxruntime has no CPU kernels for, is verified with the same rounded
    weights in float32; and attention becomes a kernel that only CUDA has.
    """
    from export.graph.encoder import write_model
    from export.graph.footprint import note_pairs, product_weights
    from export.graph.kernels import use_packed_attention
    from export.graph.masking import mask_lengths
    from export.graph.widening import widened
    from export.precision import round_for_gpu

    rounded = round_for_gpu(reference, sample, serving.precision, report)
    precision, model = rounded.precision, rounded.model
    serving = serving.settled(precision, product_weights(model))
    if serving.target == "tensorrt":
        mask_lengths(model)
        note_pairs(model)
    write_model(widened(model) if precision == "bf16" else model, model_onnx)
    verification = _verify(model_onnx, sample, serving, report)
    exchanged = serving.target == "cuda" and precision == "fp16" and use_packed_attention(model)
    if exchanged or precision == "bf16":
        write_model(model, model_onnx)
    verification = replace(verification, torch_min_cosine=rounded.torch_min_cosine)
    return Encoder(serving, verification)
