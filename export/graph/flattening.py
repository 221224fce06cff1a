"""The batch of one that torch's modules ask for, taken off again: (1, T, H) → (T, H).

onnxruntime makes one Gemm of a product and its bias, at half of what the Add costs, but only of
matrices. A flat value is one that an Unsqueeze or a Reshape has put into a batch of one.
"""

import numpy as np
import onnx_ir as ir

from export.graph.fusion import clean, constant, initializer

# fmt: off
# What they do to the rows of (1, T, H) they do to those of (T, H).
BY_ROW = frozenset((
    "Add", "Div", "Erf", "Gelu", "LayerNormalization", "MatMul", "Mul", "Pow", "Reciprocal",
    "Relu", "Sigmoid", "Sqrt", "Sub", "Tanh",
))
# fmt: on


def flatten(model: ir.Model) -> None:
    """Let operators that work row by row see (T, H), in place; results stay what they were."""
    graph = model.graph
    for node in list(graph):
        if node.op_type in BY_ROW:
            _flatten_by_row(graph, node)
        elif node.op_type == "Gather" and node.attributes.get_int("axis", 0) == 0:
            _flatten_gather(graph, node)
        elif node.op_type == "Reshape":
            _flatten_reshape(graph, node)
    clean(model)


def _flatten_by_row(graph: ir.Graph, node: ir.Node) -> None:
    """Take the batch off every input and put it around the output."""
    shared = [_is_for_all_rows(node, value) for value in node.inputs]
    if all(shared) or node.attributes.get_int("axis", -1) != -1:
        return
    flat = [
        value if same else _without_batch(graph, node, value)
        for value, same in zip(node.inputs, shared, strict=True)
    ]
    if flat.count(None) == 0:
        _feed(graph, node, flat)


def _flatten_gather(graph: ir.Graph, node: ir.Node) -> None:
    """Look rows up by (T,) ids; or be the states themselves, where the one batch is asked for."""
    states, ids = node.inputs
    flat_ids = _without_batch(graph, node, ids)
    flat_states = _without_batch(graph, node, states)
    if flat_ids is not None:
        _feed(graph, node, [states, flat_ids])
    elif flat_states is not None and constant(ids) == 0:
        ir.convenience.replace_all_uses_with(node.outputs[0], flat_states)


def _flatten_reshape(graph: ir.Graph, node: ir.Node) -> None:
    """Give the same shape to (T, H), unless sizes of (1, T, H) are taken over by a 0."""
    flat = _without_batch(graph, node, node.inputs[0])
    shape = constant(node.inputs[1])
    if flat is not None and shape is not None and 0 not in shape:
        node.replace_input_with(0, flat)


def _is_for_all_rows(node: ir.Node, value: ir.Value | None) -> bool:
    """Whether a constant means the same to (T, H) as to (1, T, H)."""
    found = constant(value)
    is_weights = node.op_type == "MatMul" and value is node.inputs[1]
    return found is not None and found.ndim <= (2 if is_weights else 1)


def _without_batch(graph: ir.Graph, node: ir.Node, value: ir.Value | None) -> ir.Value | None:
    """The (T, …) that was put into a batch of one to make a value, for use by a node."""
    producer = None if value is None else value.producer()
    if producer is None or producer.op_type not in ("Unsqueeze", "Reshape"):
        return None
    states, argument = producer.inputs[0], constant(producer.inputs[1])
    if argument is None:
        return None
    if producer.op_type == "Unsqueeze":
        return states if argument.tolist() == [0] else None
    if len(argument) != 3 or argument[0] != 1 or 0 in argument:
        return None
    name = f"{producer.outputs[0].name}.flat"
    shape = graph.initializers.get(name) or initializer(graph, name, argument[1:])
    flat = ir.node("Reshape", [states, shape])
    graph.insert_before(node, flat)
    return flat.outputs[0]


def _feed(graph: ir.Graph, node: ir.Node, inputs: list[ir.Value | None]) -> None:
    """Give a node flat inputs, and put its output into a batch of one for those who take it."""
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)
    output = node.outputs[0]
    name, output.shape = output.name, None
    axis = initializer(graph, f"{name}.batch", np.array([0]))
    batch = ir.node("Unsqueeze", [output, axis])
    ir.convenience.replace_all_uses_with(output, batch.outputs[0])
    batch.replace_input_with(0, output)
    graph.insert_after(node, batch)
