"""Sibling linear layers become one product, and the graph gives what it gave."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from export.graph.fusion import fuse

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]


class Siblings(nn.Module):
    """Three linear layers side by side, through shapes as attention takes them."""

    def __init__(self, bias: bool, of_one_input: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, size, bias=bias) for size in (8, 4, 4))
        self.of_one_input = of_one_input

    def forward(self, states: Tensor) -> Tensor:
        inputs = [states, states, states if self.of_one_input else states * 2]
        parts = [
            layer(given).unflatten(2, (-1, 4)).flatten(2)
            for layer, given in zip(self.layers, inputs, strict=True)
        ]
        return torch.cat(parts, dim=2).relu()


def export(module: nn.Module) -> ir.Model:
    program = torch.onnx.export(
        module.eval(),
        (torch.randn(1, 5, 6),),
        dynamic_shapes={"states": {1: torch.export.Dim("T")}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model: ir.Model = program.model
    return model


def run(model: ir.Model, states: Tensor, path: Path) -> np.ndarray:  # type: ignore[type-arg]
    ir.save(model, path)
    result: np.ndarray = onnxruntime.InferenceSession(path).run(  # type: ignore[type-arg]
        None, {"states": states.numpy()}
    )[0]
    return result


@pytest.mark.parametrize("bias", [True, False], ids=["with bias", "without bias"])
@pytest.mark.parametrize(
    ("of_one_input", "products"), [(True, 1), (False, 3)], ids=["one input", "two inputs"]
)
def test_linear_layers_of_one_input_become_one_product(
    bias: bool, of_one_input: bool, products: int, tmp_path: Path
) -> None:
    module = Siblings(bias, of_one_input)
    model = export(module)

    fuse(model)

    states = torch.randn(1, 9, 6)
    with torch.no_grad():
        expected = module(states).numpy()
    np.testing.assert_allclose(run(model, states, tmp_path / "m.onnx"), expected, atol=1e-6)
    assert products == sum(node.op_type in ("MatMul", "Gemm") for node in model.graph)
