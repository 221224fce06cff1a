"""What the working memory of an encoder depends on, noted in the graph itself.

`steps/inference/` reads it from the file that was verified, and knows what a text will take.
"""

import math

import onnx_ir as ir
from onnx_ir.passes import common

MASK = 3  # of the inputs of Attention
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def note(model: ir.Model, heads: int, block: int, padding: int) -> None:
    """Write the widest layer, the heads of attention, and what `Layout` is told into the model.

    block    most tokens of a text that attends as a whole; 0 where all do
    padding  the token that has a position of its own; -1 for none
    """
    notes = {"widest": _widest(model), "heads": heads, "block": block, "padding": padding}
    model.metadata_props.update({key: str(value) for key, value in notes.items()})
    note_pairs(model)


def note_pairs(model: ir.Model) -> None:
    """Write what attention is told of two tokens on a GPU, in bytes: a mask, or a bias a head.

    A mask is a distance and its amount in int64, whether it is small, and that as a number.
    """
    masks = {
        node.inputs[MASK]
        for node in model.graph
        if node.op_type == "Attention" and len(node.inputs) > MASK and node.inputs[MASK] is not None
    }
    is_mask = [mask.dtype in (None, ir.DataType.BOOL) for mask in masks if mask is not None]
    heads = int(model.metadata_props["heads"])
    count = sum(8 + 8 + 1 + 2 if found else 8 + 8 + 2 * 4 * heads for found in is_mask)
    model.metadata_props["pair_bytes"] = str(count)


def _widest(model: ir.Model) -> int:
    """The most numbers a token that one operator gives."""
    inferred = common.ShapeInferencePass(data_prop=False)(model.clone()).model
    shapes = [
        value.shape.dims
        for node in inferred.graph
        for value in node.outputs
        if value.dtype in FLOATS and value.shape is not None
    ]
    # Of unknown size is what counts tokens; where there are two such, it is the grid.
    widths = [[size for size in shape if isinstance(size, int)] for shape in shapes]
    return max(
        math.prod(known)
        for known, shape in zip(widths, shapes, strict=True)
        if len(known) == len(shape) - 1
    )


def product_weights(model: ir.Model) -> int:
    """Weights that multiply every token: those of products with a constant matrix."""
    matrices = [
        node.inputs[1]
        for node in model.graph.all_nodes()
        if node.op_type in ("MatMul", "Gemm") and node.inputs[1] is not None
    ]
    return sum(
        value.const_value.size
        for value in matrices
        if value.const_value is not None and len(value.const_value.shape) == 2
    )
