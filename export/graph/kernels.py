"""Kernels of onnxruntime that the standard has no operator for, in place of verified nodes.

`PackedMultiHeadAttention` takes queries, keys and values of the flat sequence as they are: nothing
is gathered into a grid and back. Query, key and value stay three tensors: those of one are for
kernels that Hopper has none of.

Source: onnxruntime, contrib_ops/cuda/bert/packed_multihead_attention.cc.
"""

from typing import TypeGuard

import onnx_ir as ir

from export.graph.inputs import drop_unused, new_input

DOMAIN = "com.microsoft"


def use_packed_attention(model: ir.Model) -> int:
    """Exchange attention that is no more than texts which see all of themselves, in place.

    returns  how many nodes were exchanged
    """
    graph, count = model.graph, 0
    for node in list(graph):
        flat, result = _flat_states(node), _flat_result(node)
        if not _is_plain(node) or flat is None or result is None:
            continue
        packed = ir.node(
            "PackedMultiHeadAttention",
            [*flat, None, new_input(model, "TOKEN_OFFSET"), new_input(model, "STARTS")],
            {
                "num_heads": node.attributes.get_int("q_num_heads", 1),
                "scale": node.attributes.get_float("scale", 1.0),
            },
            domain=DOMAIN,
        )
        graph.insert_before(node, packed)
        packed.outputs[0].type, packed.outputs[0].shape = result.type, result.shape
        ir.convenience.replace_all_uses_with(result, packed.outputs[0])
        count += 1
    if count:
        graph.opset_imports[DOMAIN] = 1
        drop_unused(model)  # a node that nobody reads still runs, and keeps what it reads alive
    return count


def _is_plain(node: ir.Node) -> bool:
    """Attention of float16 without a mask, a diagonal, a bound or shared heads."""
    attributes = node.attributes
    return (
        node.op_type == "Attention"
        and not any(node.inputs[3:6])
        and not attributes.get_int("is_causal", 0)
        and not attributes.get_float("softcap", 0.0)
        and attributes.get_int("q_num_heads", 1) == attributes.get_int("kv_num_heads", 1)
        and node.inputs[0] is not None
        and node.inputs[0].dtype == ir.DataType.FLOAT16
    )


def _flat_states(node: ir.Node) -> list[ir.Value] | None:
    """Queries, keys and values (T, H) that were gathered for attention."""
    gathers = [value.producer() for value in node.inputs[:3] if value is not None]
    flat = [each.inputs[0] for each in gathers if _takes_rows(each, "TOKEN_OF_CELL")]
    return [value for value in flat if value is not None] if len(flat) == 3 else None


def _flat_result(node: ir.Node) -> ir.Value | None:
    """What becomes of attention: rows of the grid, gathered into (T, H)."""
    rows = [use.node for use in node.outputs[0].uses()]
    gathers = [use.node for row in rows for use in row.outputs[0].uses()]
    if [each.op_type for each in (*rows, *gathers)] != ["Reshape", "Gather"]:
        return None
    return gathers[0].outputs[0] if _takes_rows(gathers[0], "CELL_OF_TOKEN") else None


def _takes_rows(node: ir.Node | None, layout: str) -> TypeGuard[ir.Node]:
    """Whether it gathers rows as one of the layout says."""
    return (
        node is not None
        and node.op_type == "Gather"
        and node.attributes.get_int("axis", 0) == 0
        and node.inputs[1] is not None
        and node.inputs[1].name == layout
    )
