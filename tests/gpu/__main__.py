"""python -m tests.gpu FOLDER: each shape exported for CUDA, verified, and run on the fake one.

Prints a row a shape as soon as it is known; FOLDER keeps the exports.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from export import ExportOptions, Serving, export_model
from export.reference import load
from export.sample import GPU_LONG_TOKENS, take_sample
from export.steps.inference import Feeder, cosines
from tests.fake_cuda.encoders import LENGTHS, elsewhere, run_encoder
from tests.fake_cuda.plain_kernels import as_functions
from tests.gpu.shapes import SHAPES, read_arguments

HEAD = (
    "shape", "precision", "export s", "min cosine", "torch's own", "composition",
    "with CUDA's kernels", "nodes elsewhere", "copies in", "copies out", "waits",
    "launches", "products", "a layer", "flash", "micro-batch, tokens", "memory, MiB",
)  # fmt: skip
STEPS = ("tokenizer", "encoder")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    folder, names = read_arguments("tests.gpu", __doc__, arguments)
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    for name in names:
        cells = (name, *exported(name, folder))
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return 0


def exported(name: str, folder: Path) -> tuple[object, ...]:
    """What was measured of one shape."""
    checkpoint = folder / "checkpoints" / name
    if not checkpoint.exists():
        SHAPES[name].write(checkpoint)
    began = time.monotonic()
    manifest = export_model(
        ExportOptions(
            output=folder / "models",
            serving=Serving(name, target="cuda"),
            checkpoint=str(checkpoint),
            force=True,
        ),
        report=lambda line: None,
    ).manifest
    seconds = time.monotonic() - began
    steps = {step: folder / "models" / f"{name}@{manifest.edition}-{step}" for step in STEPS}
    encoder = steps["encoder"] / "1" / "model.onnx"
    tokenizer = steps["tokenizer"] / "1" / "tokenizer.json"
    config = (steps["encoder"] / "config.pbtxt").read_text()
    measured = manifest.verification
    return (
        next(precision for precision in ("fp16", "bf16") if precision in config),
        round(seconds),
        f"{measured['min_cosine']:.7f}",
        f"{measured['torch_min_cosine']:.7f}",
        f"{measured['max_composition_difference']:.0e}",
        with_functions(encoder, tokenizer, checkpoint),
        *on_fake_cuda(encoder, SHAPES[name].options["num_hidden_layers"]),
        *memory(encoder, config),
    )


def with_functions(model_onnx: Path, tokenizer_json: Path, checkpoint: Path) -> str:
    """The lowest cosine of the served graph, kernels of CUDA exchanged for plain operators."""
    model = onnx.load(model_onnx)
    if not any(node.domain for node in model.graph.node):
        return "none"
    plain = model_onnx.with_name("plain.onnx")
    onnx.save(as_functions(model), plain, save_as_external_data=True, location="plain.data")
    try:
        session = onnxruntime.InferenceSession(plain, providers=["CPUExecutionProvider"])
    finally:
        plain.unlink()
        plain.with_name("plain.data").unlink()
    sample = take_sample(tokenizer_json, load(checkpoint), windows=True, longest=GPU_LONG_TOKENS)
    lengths = np.array([len(row) for row in sample.rows], dtype=np.int32)
    found = session.run(None, Feeder(session).feeds(np.concatenate(sample.rows), lengths))[0]
    return f"{cosines(found, sample.expected).min():.7f}"


def on_fake_cuda(model_onnx: Path, layers: int) -> tuple[object, ...]:
    """Placement, copies, waits and launches of a run after the first."""
    outcome = run_encoder(model_onnx, LENGTHS, LENGTHS)
    if outcome.error or any(outcome.rounds[1].errors):
        return (outcome.error or outcome.rounds[1].errors[0],)
    report = outcome.rounds[1].report
    launches, products = report.launched(), sum(report.computations.values())
    return (
        ", ".join(elsewhere(outcome)) or "none",
        report.copied("host to device").count,
        report.copied("device to host").count,
        report.waits,
        launches,
        products,
        f"{(launches + products) / layers:.1f}",
        report.launched("flash_fwd_kernel"),
    )


def memory(model_onnx: Path, config: str) -> tuple[int, int]:
    """Tokens of a micro-batch, and what the device holds after one of texts of 128 tokens."""
    words = config.replace('"', "").split()
    tokens = int(words[words.index("micro_batch_tokens") + 4])
    report = run_encoder(model_onnx, [128] * (tokens // 128)).rounds[-1].report
    return tokens, round(report.live_bytes / 2**20)


if __name__ == "__main__":
    sys.exit(main())
