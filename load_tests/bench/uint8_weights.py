"""The packed float32 graph as OpenVINO quantizes it: uint8 weights, activations in groups.

OpenVINO takes DequantizeLinear in front of a product for weights that stay integers, and quantizes
what they are multiplied with in groups of channels of a token, at run time. Texts are short here,
so the branch of attention for long ones is left out: its runtime does not read the Scan in it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from export.graph.fusion import clean, initializer
from load_tests.bench.graph import SHORT_BRANCH

STEPS = 255


def write(source: Path, target: Path) -> None:
    """The graph of one file, in float32, into another."""
    model = ir.load(source)
    ir.external_data.load_to_model(model)
    for node in list(model.graph):
        if node.op_type == "If":
            _inline(model.graph, node)
    common.NameFixPass()(model)  # branches may use each other's names
    clean(model)
    for node in list(model.graph):
        if node.op_type == "MatMul":
            _round(model.graph, node)
    clean(model)
    unused = [value for value in model.graph.inputs if not list(value.uses())]
    for value in unused:
        model.graph.inputs.remove(value)
    ir.save(model, target, external_data=f"{target.name}.data")


def round_columns(
    weights: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    """(K, N) → integers (K, N), scales (N,) and zero points (N,): (integers - zeros) * scales."""
    least, largest = np.minimum(weights.min(axis=0), 0), np.maximum(weights.max(axis=0), 0)
    scales = np.maximum((largest - least) / STEPS, 1e-12).astype(np.float32)
    zeros = np.clip(np.round(-least / scales), 0, STEPS)
    integers = np.clip(np.round(weights / scales) + zeros, 0, STEPS)
    return integers.astype(np.uint8), scales, zeros.astype(np.uint8)


def _inline(graph: ir.Graph, node: ir.Node) -> None:
    """Put what a short text goes through in the place of the choice."""
    branch = node.attributes[SHORT_BRANCH].as_graph()
    results = list(branch.outputs)
    nodes = list(branch)
    branch.remove(nodes)
    for value in list(branch.initializers.values()):
        branch.initializers.pop(str(value.name))
        graph.register_initializer(value)
    graph.insert_before(node, nodes)
    for old, new in zip(node.outputs, results, strict=True):
        ir.convenience.replace_all_uses_with(old, new)
    graph.remove(node, safe=True)


def _round(graph: ir.Graph, node: ir.Node) -> None:
    weights = node.inputs[1]
    if weights is None or weights.const_value is None or len(weights.const_value.shape) != 2:
        return
    parts: list[NDArray[Any]] = list(round_columns(weights.const_value.numpy()))
    names = [f"{weights.name}.{part}" for part in ("uint8", "scales", "zeros")]
    values = [initializer(graph, *named) for named in zip(names, parts, strict=True)]
    widened = ir.node("DequantizeLinear", values, attributes={"axis": 1})
    graph.insert_before(node, widened)
    node.replace_input_with(1, widened.outputs[0])
