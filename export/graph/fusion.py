"""What onnxruntime's own optimizer leaves undone in the packed graph.

Query, key and value of a layer are one matrix product, and the arithmetic of the packed grid is
done once and not in every layer.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import Sequential, common


@dataclass(frozen=True, slots=True)
class _Linear:
    """One linear layer: `states` times weights (H, K), plus bias (K,)."""

    states: ir.Value
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


def fuse(model: ir.Model) -> None:
    """Rewrite the graph in place; its results stay what they were."""
    for node in list(model.graph):
        if node.op_type == "Concat":
            _merge_linears(model.graph, node)
    clean(model)


def clean(model: ir.Model) -> None:
    """Remove what nothing uses, and keep one of what is computed twice."""
    Sequential(
        common.RemoveUnusedNodesPass(),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
    )(model)


def _merge_linears(graph: ir.Graph, concat: ir.Node) -> None:
    """Put one product in the place of concatenated linear layers of the same states."""
    linears = [_read_linear(value) for value in concat.inputs]
    first = linears[0]
    if first is None or any(other is None or other.states is not first.states for other in linears):
        return
    found = [linear for linear in linears if linear is not None]
    name = concat.outputs[0].name
    joined = np.concatenate([linear.weights for linear in found], axis=1)
    weights = initializer(graph, f"{name}.weights", joined)
    bias = initializer(graph, f"{name}.bias", np.concatenate([linear.bias for linear in found]))
    product = ir.node("MatMul", [first.states, weights])
    total = ir.node("Add", [product.outputs[0], bias])
    graph.insert_before(concat, [product, total])
    ir.convenience.replace_all_uses_with(concat.outputs[0], total.outputs[0])


def _read_linear(value: ir.Value | None) -> _Linear | None:
    """The linear layer that a value comes from, if nothing but its shape changed in between."""
    node = producer(value)
    while node is not None and node.op_type == "Reshape":
        node = producer(node.inputs[0])
    bias = None
    if node is not None and node.op_type == "Add":
        bias = constant(node.inputs[1])
        node = producer(node.inputs[0])
    if node is None or node.op_type != "MatMul" or node.inputs[0] is None:
        return None
    weights = constant(node.inputs[1])
    if weights is None:
        return None
    zeros = np.zeros(weights.shape[1], dtype=weights.dtype)
    return _Linear(node.inputs[0], weights, zeros if bias is None else bias)


def producer(value: ir.Value | None) -> ir.Node | None:
    """The node that a value comes from, if there is one."""
    return None if value is None else value.producer()


def rounded_to(value: ir.Value, states: ir.Value) -> ir.Value:
    """What a value in float32 becomes if all that is done with it is to round it.

    states  that it was computed from; in float32 because they were made so, or from the start
    """
    source = producer(states)
    after = [use.node for use in value.uses()]
    was_widened = source is not None and source.op_type == "Cast"
    if was_widened and len(after) == 1 and after[0].op_type == "Cast":
        return after[0].outputs[0]
    return value


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """What a value is if it is always the same."""
    return None if value is None or value.const_value is None else value.const_value.numpy()


def initializer(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """A new constant of the graph."""
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    value.const_value = tensor
    graph.register_initializer(value)
    return value
