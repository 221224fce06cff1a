"""The precision of an export for a GPU: what torch makes of the model decides."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from safetensors.torch import load_file, save_file

from export import ExportOptions, Serving, export_model
from export.errors import UnsupportedModel, VerificationFailed
from export.manifest import Manifest
from export.serving import GPU_TOKENS
from export.verification import MIN_COSINE
from tests.checkpoints import make_checkpoint

pytestmark = pytest.mark.slow

LARGE = 1e6  # times weights of about 0.15: beyond 65504, the largest number of float16


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("bert"), "bert")


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In one layer alone, between two that norm their input."""
    folder = make_checkpoint(tmp_path_factory.mktemp("overflowing"), "bert")
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.intermediate.dense.weight"] *= LARGE
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def export(checkpoint: Path, output: Path, **serving: Any) -> tuple[Manifest, list[str]]:
    """What was exported, and what was said on the way."""
    said: list[str] = []
    options = ExportOptions(
        output=output,
        checkpoint=str(checkpoint),
        serving=Serving("model", **{"target": "cuda", **serving}),
    )
    return export_model(options, report=said.append).manifest, said


def encoder(output: Path, manifest: Manifest) -> Path:
    return output / f"model@{manifest.edition}-encoder"


def parameters(folder: Path) -> dict[str, str]:
    """The last value of each key is that of its parameter."""
    words = (folder / "config.pbtxt").read_text().replace('"', "").split()
    keys = ("target", "precision", "micro_batch_tokens")
    return {key: words[words.index(key) + 4] for key in keys}


def test_halves_are_served_where_the_model_bears_them(bert: Path, tmp_path: Path) -> None:
    manifest, said = export(bert, tmp_path)

    folder = encoder(tmp_path, manifest)
    graph = onnx.load(folder / "1" / "model.onnx", load_external_data=False).graph
    assert {
        "target": "cuda",
        "precision": "fp16",
        "micro_batch_tokens": str(GPU_TOKENS[1]),  # of a model as small as this one
    } == parameters(folder)
    assert MIN_COSINE["fp16"] <= manifest.verification["torch_min_cosine"] < 1
    assert MIN_COSINE["fp16"] <= manifest.verification["min_cosine"] < 1
    assert 0 == manifest.verification["max_composition_difference"]
    assert 2 == [node.op_type for node in graph.node].count("PackedMultiHeadAttention")
    assert not [line for line in said if "bf16" in line]


@pytest.mark.parametrize(("asked", "target"), [("bf16", "cuda"), ("fp16", "tensorrt")])
def test_other_precisions_and_targets_keep_the_standard_operator(
    asked: str, target: str, bert: Path, tmp_path: Path
) -> None:
    manifest, _ = export(bert, tmp_path, precision=asked, target=target)

    folder = encoder(tmp_path, manifest)
    graph = onnx.load(folder / "1" / "model.onnx", load_external_data=False).graph
    assert 2 == [node.op_type for node in graph.node].count("Attention")
    assert asked == parameters(folder)["precision"]
    weights = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 2}
    assert {getattr(onnx.TensorProto, {"bf16": "BFLOAT16", "fp16": "FLOAT16"}[asked])} == weights


def test_numbers_too_large_for_halves_are_served_in_bf16(overflowing: Path, tmp_path: Path) -> None:
    manifest, said = export(overflowing, tmp_path)

    assert "bf16" == parameters(encoder(tmp_path, manifest))["precision"]
    (line,) = [line for line in said if line.endswith("bf16 is used")]
    assert line.startswith("fp16 is too small for the numbers of the text ")


def test_halves_that_are_asked_for_are_not_exchanged_in_silence(
    overflowing: Path, tmp_path: Path
) -> None:
    with pytest.raises(VerificationFailed, match=r"too small .*: export with --precision bf16"):
        export(overflowing, tmp_path, precision="fp16")


def test_what_a_gpu_has_no_kernel_for_is_found_by_the_export(tmp_path: Path) -> None:
    """In halves, T5 asks whether a number is too large, and cuts all if one is."""
    checkpoint = make_checkpoint(tmp_path / "t5", "t5")

    with pytest.raises(
        UnsupportedModel,
        match=r"fp16 asks for IsInf, ReduceMax, which GPUs have no kernel for: .* bf16$",
    ):
        export(checkpoint, tmp_path / "models", precision="fp16")
