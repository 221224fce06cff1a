"""Lengths as masks, for what reads no lengths of attention.

TensorRT's parser drops the lengths (`nonpad_kv_seqlen`) of the standard operator without a word:
tensorrt-rtx 1.7.1 calls that input unused, and texts would see the padding of their rows. A mask is
read.
"""

from typing import Any

import numpy as np
import onnx_ir as ir

from export.graph.inputs import new_input
from export.graph.standard import LEAST

MASK, LENGTHS = 3, 6  # inputs of Attention


def mask_lengths(model: ir.Model) -> int:
    """Say in the mask of each attention what its lengths said, in place.

    returns  how many nodes there were
    """
    graph = model.graph
    nodes = [node for node in graph if node.op_type == "Attention" and len(node.inputs) > LENGTHS]
    nodes = [node for node in nodes if node.inputs[LENGTHS] is not None]
    masks: dict[ir.Value | None, ir.Value] = {}  # by what is there before: of all layers alike
    for node in nodes:
        known = node.inputs[MASK]
        if known not in masks:
            masks[known] = _mask(model, node, known)
        node.replace_input_with(MASK, masks[known])
        node.replace_input_with(LENGTHS, None)
    return len(nodes)


def _mask(model: ir.Model, before: ir.Node, known: ir.Value | None) -> ir.Value:
    """(N, 1, S, S) of what is seen, or (N, heads, S, S) of what is added to the scores."""

    def add(operator: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        node = ir.node(operator, list(inputs), attributes)
        model.graph.insert_before(before, node)
        return node.outputs[0]

    def constant(value: Any) -> ir.Value:
        return add("Constant", value=ir.tensor(np.asarray(value)))

    steps, lengths = new_input(model, "STEPS"), new_input(model, "LENGTHS")
    seen = add("Less", steps, add("Unsqueeze", lengths, constant([1])))  # (N, S)
    seen = add("Unsqueeze", seen, constant([1, 2]))  # (N, 1, 1, S)
    if known is None:  # each position sees alike; the operator wants to be told of each
        columns = add("Unsqueeze", steps, constant([1]))  # (S, 1)
        return add("And", seen, add("GreaterOrEqual", columns, constant(0)))
    if known.dtype == ir.DataType.BOOL:
        return add("And", seen, known)
    return add("Where", seen, known, add("CastLike", constant(np.float32(LEAST)), known))
