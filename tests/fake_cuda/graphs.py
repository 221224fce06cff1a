"""Small graphs for the fake device, made by onnx.helper in the environment of the tests."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 256
WEIGHTS_A_LAYER = 4
OPSET = 20  # the first with Gelu


def save_feed_forward(path: Path, layers: int = 1, width: int = WIDTH) -> Path:
    """MatMul, Add, Gelu and LayerNormalization on (T, width) float16, layer after layer."""
    nodes, initializers, value = [], [], "INPUT"
    for layer in range(layers):
        names = {name: f"{name}_{layer}" for name in ("weight", "bias", "scale", "shift")}
        for name, shape in zip(names.values(), [(width, width), *[(width,)] * 3], strict=True):
            initializers.append(numpy_helper.from_array(np.ones(shape, np.float16), name))
        product, summed, activated = f"product_{layer}", f"sum_{layer}", f"activated_{layer}"
        output = "OUTPUT" if layer == layers - 1 else f"normalized_{layer}"
        nodes += [
            helper.make_node("MatMul", [value, names["weight"]], [product]),
            helper.make_node("Add", [product, names["bias"]], [summed]),
            helper.make_node("Gelu", [summed], [activated]),
            helper.make_node(
                "LayerNormalization", [activated, names["scale"], names["shift"]], [output]
            ),
        ]
        value = output
    return _save(path, nodes, initializers, width)


def save_with_host_node(path: Path, width: int = WIDTH) -> Path:
    """Acos among others, of which onnxruntime has no CUDA kernel."""
    nodes = [
        helper.make_node("Cast", ["INPUT"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Acos", ["wide"], ["angle"]),
        helper.make_node("Cast", ["angle"], ["OUTPUT"], to=TensorProto.FLOAT16),
    ]
    return _save(path, nodes, [], width)


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    initializers: list[onnx.TensorProto],
    width: int,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("INPUT", TensorProto.FLOAT16, ["T", width])],
        [helper.make_tensor_value_info("OUTPUT", TensorProto.FLOAT16, ["T", width])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path
