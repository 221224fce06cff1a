"""A small graph as the encoders run it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from export.graph.blocks import subgraph
from export.graph.inputs import feed, op
from export.graph.rendering import render_pool

IDS = np.array([3, 4, 5, 6], dtype=np.int64)
LENGTHS = np.array([1, 3], dtype=np.int32)
MEANS = [[3.0, 9.0], [5.0, 77 / 3]]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each token is its id and the square of it; a text is the mean of its tokens."""
    inputs = [
        ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape([None]))
        for name, dtype in (("INPUT_IDS", ir.DataType.INT64), ("SEQ_LENS", ir.DataType.INT32))
    ]

    def encode(input_ids: Any, seq_lens: Any) -> Any:
        numbers = op.Unsqueeze(op.Cast(input_ids, to=1), [1])
        return render_pool(op.Concat(numbers, op.Mul(numbers, numbers), axis=1), seq_lens, "mean")

    graph = subgraph(encode, inputs)
    graph.opset_imports[""] = 20
    (output,) = graph.outputs
    output.name, output.type = "EMBEDDING", ir.TensorType(ir.DataType.FLOAT)
    model = ir.Model(graph, ir_version=10)
    feed(model)
    model.metadata_props.update({"widest": "10", "heads": "2", "block": "8", "padding": "-1"})
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    ir.save(model, path)
    return path
