"""Small graphs for the fake device, made by onnx.helper in the environment of the tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 256
WEIGHTS_A_LAYER = 4
HEAD_WIDTH = 64
OPSET = 20  # the first with Gelu
IR_VERSION = 11  # the first with opset 24

Inputs = dict[str, tuple[int, Sequence[str | int]]]


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


def save_attention(path: Path, dtype: int = TensorProto.FLOAT16, width: int = WIDTH) -> Path:
    """The standard operator of opset 24, on texts of (N,) lengths in a padded (N, S, width)."""
    padded: Inputs = {name: (dtype, ["N", "S", width]) for name in ("QUERY", "KEY", "VALUE")}
    node = helper.make_node(
        "Attention",
        [*padded, "", "", "", "LENGTHS"],
        ["OUTPUT"],
        q_num_heads=width // HEAD_WIDTH,
        kv_num_heads=width // HEAD_WIDTH,
    )
    return _save_graph(path, [node], padded | {"LENGTHS": (TensorProto.INT64, ["N"])}, 24)


def save_packed_attention(path: Path, width: int = WIDTH) -> Path:
    """onnxruntime's own operator, on (T, width) packed tokens."""
    tokens: tuple[int, list[str | int]] = (TensorProto.FLOAT16, ["T", width])
    packed: Inputs = {"QUERY": tokens, "KEY": tokens, "VALUE": tokens}
    layout: Inputs = {
        "OFFSETS": (TensorProto.INT32, ["N", "S"]),
        "STARTS": (TensorProto.INT32, ["N1"]),
    }
    node = helper.make_node(
        "PackedMultiHeadAttention",
        [*packed, "", *layout],
        ["OUTPUT"],
        domain="com.microsoft",
        num_heads=width // HEAD_WIDTH,
    )
    return _save_graph(path, [node], packed | layout, OPSET)


def _save(
    path: Path, nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto], width: int
) -> Path:
    inputs: Inputs = {"INPUT": (TensorProto.FLOAT16, ["T", width])}
    return _save_graph(path, nodes, inputs, OPSET, initializers)


def _save_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: Inputs,
    opset: int,
    initializers: Sequence[onnx.TensorProto] = (),
) -> Path:
    """With one OUTPUT of the first input's type; shapes may have names for numbers."""
    output_type, _ = next(iter(inputs.values()))
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, *described) for name, described in inputs.items()],
        [helper.make_tensor_value_info("OUTPUT", output_type, None)],
        initializers,
    )
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION), path)
    return path
