"""The batch of one is taken off, products and biases become Gemm, results stay."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from export.graph.flattening import flatten

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]


class Layer(nn.Module):
    """What a transformer does to (1, T, H): by row, across rows, and through other shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 8)
        self.widen = nn.Linear(8, 16)
        self.narrow = nn.Linear(16, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, ids: Tensor) -> Tensor:
        states = self.table(ids[None])
        states = self.norm(states + self.narrow(nn.functional.gelu(self.widen(states))))
        heads = states.unflatten(2, (2, 4)).transpose(1, 2)
        mixed = heads @ heads.transpose(2, 3) @ heads
        joined = mixed.transpose(1, 2).flatten(2)
        result: Tensor = (self.norm(joined + states) - states.mean(1, keepdim=True))[0]
        return result


class Twice(nn.Module):
    """As GPT-2's linear layers: a batch that a reshape makes, and several operators take."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 8)

    def forward(self, ids: Tensor) -> Tensor:
        states = self.table(ids).view(1, -1, 8)
        result: Tensor = (states * 2 + states.tanh())[0].mean(1)
        return result


def export(module: nn.Module) -> ir.Model:
    program = torch.onnx.export(
        module.eval(),
        (torch.arange(5),),
        dynamic_shapes={"ids": {0: torch.export.Dim("T")}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model: ir.Model = program.model
    return model


@pytest.mark.parametrize("kind", [Layer, Twice])
def test_a_graph_without_the_batch_gives_the_same(kind: type[nn.Module], tmp_path: Path) -> None:
    module = kind()
    model = export(module)

    flatten(model)

    ir.save(model, tmp_path / "m.onnx")
    ids = torch.randint(20, (9,))
    with torch.no_grad():
        expected = module(ids).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    np.testing.assert_allclose(session.run(None, {"ids": ids.numpy()})[0], expected, atol=1e-6)


def test_products_and_biases_become_gemm(tmp_path: Path) -> None:
    model = export(Layer())
    flatten(model)
    ir.save(model, tmp_path / "m.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # says that the file is of this machine only
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")

    onnxruntime.InferenceSession(tmp_path / "m.onnx", options)

    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert 2 == kinds.count("Gemm")
