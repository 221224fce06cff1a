"""Lengths as masks: the same vectors, and no attention that reads lengths."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from export.graph.encoder import GPU, write_model
from export.graph.masking import LENGTHS, mask_lengths
from export.reference import load
from export.steps.inference import Feeder
from export.translations import translated
from tests.checkpoints import make_checkpoint

pytestmark = pytest.mark.slow

# How many attentions of a kind have lengths; causal ones need none.
COUNTS = {"bert": 2, "modernbert": 4, "mpnet": 2, "embeddinggemma": 3, "qwen3": 0}
SEQ_LENS = np.array([3, 40, 17, 1], dtype=np.int32)
IDS = np.arange(SEQ_LENS.sum()) % 20 + 5


def embed(model: ir.Model, path: Path) -> NDArray[np.float32]:
    write_model(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(["EMBEDDING"], Feeder(session).feeds(IDS, SEQ_LENS))[0]
    return found


@pytest.mark.parametrize("kind", COUNTS)
def test_a_mask_says_what_lengths_said(kind: str, tmp_path: Path) -> None:
    with translated(make_checkpoint(tmp_path / kind, kind)) as (read, _):
        model = load(read).rounded(torch.float32).convert(GPU)
    before = embed(model, tmp_path / "lengths.onnx")
    assert COUNTS[kind] == mask_lengths(model)
    attentions = [node for node in model.graph if node.op_type == "Attention"]
    assert not [node for node in attentions if any(node.inputs[LENGTHS:])]
    np.testing.assert_allclose(embed(model, tmp_path / "masks.onnx"), before, atol=1e-6)
