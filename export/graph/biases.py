"""Biases of keys and values, which a GPU need not add to every token.

What a bias adds to all keys of a text adds the same to all scores of a query, and cancels in the
softmax. What one adds to all values comes out of the attention as it is, since weights sum to one,
and so becomes a part of the bias of the layer that follows.
"""

import numpy as np
import onnx_ir as ir

from export.graph.fusion import clean, constant, initializer

MOVES = frozenset(("Gather", "Reshape", "Unsqueeze", "Squeeze"))  # rows, whole as they are


def fold(model: ir.Model) -> None:
    """Fold what can be, in place; results stay what they were but for rounding."""
    for node in list(model.graph):
        if node.op_type == "Attention":
            if not node.attributes.get_float("softcap", 0.0):
                _drop(_bias_of(node.inputs[1]))
            _fold_value(model.graph, node)
    clean(model)


def _fold_value(graph: ir.Graph, attention: ir.Node) -> None:
    added = _bias_of(attention.inputs[2])
    after = _added_after(attention.outputs[0])
    if added is None or after is None:
        return
    bias = constant(added.inputs[1])
    product, total = after
    weights, old = constant(product.inputs[1]), constant(total.inputs[1])
    assert bias is not None
    assert weights is not None
    assert old is not None
    shared = attention.attributes.get_int("kv_num_heads", 1)
    group = attention.attributes.get_int("q_num_heads", 1) // shared
    spread = np.repeat(bias.reshape(shared, -1), group, axis=0).reshape(-1)
    folded = old.astype(np.float64) + spread.astype(np.float64) @ weights.astype(np.float64)
    name = f"{total.inputs[1].name}.folded.{product.outputs[0].name}"  # type: ignore[union-attr]
    total.replace_input_with(1, initializer(graph, name, folded.astype(old.dtype)))
    _drop(added)


def _drop(added: ir.Node | None) -> None:
    """Leave an addition out for all who read it."""
    if added is not None:
        states = added.inputs[0]
        assert states is not None
        ir.convenience.replace_all_uses_with(added.outputs[0], states)


def _bias_of(value: ir.Value | None) -> ir.Node | None:
    """The addition of a bias whose sum goes to attention and to nothing else."""
    node = None if value is None else value.producer()
    while node is not None and node.op_type in MOVES and _is_read_once(node):
        node = None if node.inputs[0] is None else node.inputs[0].producer()
    if node is None or node.op_type != "Add" or not _is_read_once(node):
        return None
    product = None if node.inputs[0] is None else node.inputs[0].producer()
    bias = constant(node.inputs[1])
    is_linear = product is not None and product.op_type == "MatMul"
    return node if is_linear and bias is not None and bias.ndim == 1 else None


def _added_after(value: ir.Value) -> tuple[ir.Node, ir.Node] | None:
    """The product that attention goes to alone, and the addition of its bias."""
    node = _reader(value)
    while node is not None and node.op_type in MOVES:
        node = _reader(node.outputs[0])
    if node is None or node.op_type != "MatMul" or constant(node.inputs[1]) is None:
        return None
    total = _reader(node.outputs[0])
    if total is None or total.op_type != "Add" or total.inputs[0] is not node.outputs[0]:
        return None
    bias = constant(total.inputs[1])
    return (node, total) if bias is not None and bias.ndim == 1 else None


def _reader(value: ir.Value) -> ir.Node | None:
    """The only node that reads a value as its first input."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and uses[0].idx == 0 else None


def _is_read_once(node: ir.Node) -> bool:
    return len(list(node.outputs[0].uses())) == 1
