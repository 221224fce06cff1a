"""Kernels that only CUDA has, as functions of plain operators, so that a CPU runs the same graph.

A function under a kernel's own name is ignored, so the nodes get a domain of their own.
"""

import onnx
from onnx import TensorProto, helper

from export.graph.kernels import DOMAIN

OWN_DOMAIN = "plain"


def as_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Exchange each PackedMultiHeadAttention for what its documentation says, in place."""
    for number, node in enumerate(model.graph.node):
        if node.domain == DOMAIN:
            attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            name = f"{node.op_type}.{number}"
            model.functions.append(_attention(name, attributes["num_heads"], attributes["scale"]))
            node.domain, node.op_type = OWN_DOMAIN, name
            del node.attribute[:]
    model.opset_import.append(helper.make_opsetid(OWN_DOMAIN, 1))
    return model


def _attention(name: str, heads: int, scale: float) -> onnx.FunctionProto:
    """Tokens into the grid by their offsets, attention of as many as a text has, and back."""
    node = helper.make_node
    nodes = [
        _numbers("zero", 0),
        _numbers("one", 1),
        _numbers("all", -1),
        _numbers("end", 2**31 - 1),
        node("Shape", ["token_offset"], ["grid"]),
        node("Shape", ["query"], ["tokens"], start=0, end=1),
        node("Shape", ["query"], ["width"], start=1, end=2),
        node("Cast", ["token_offset"], ["wide"], to=TensorProto.INT64),
        node("Reshape", ["wide", "all"], ["cells"]),
        node("Slice", ["cells", "zero", "tokens", "zero"], ["cell_of_token"]),
        node("Unsqueeze", ["cell_of_token", "one"], ["places"]),
        node("ReduceProd", ["grid"], ["count"], keepdims=1),
        node("Concat", ["count", "width"], ["rows"], axis=0),
        node("Concat", ["grid", "width"], ["boxes"], axis=0),
        node("Expand", ["nothing", "rows"], ["empty"]),
        node("Cast", ["starts"], ["bounds"], to=TensorProto.INT64),
        node("Slice", ["bounds", "one", "end", "zero"], ["ends"]),
        node("Slice", ["bounds", "zero", "all", "zero"], ["begins"]),
        node("Sub", ["ends", "begins"], ["lengths"]),
    ]
    zero = helper.make_tensor("", TensorProto.FLOAT16, [1, 1], [0.0])
    nodes.insert(0, node("Constant", [], ["nothing"], value=zero))
    for states in ("query", "key", "value"):
        nodes += [
            node("ScatterND", ["empty", "places", states], [f"{states}.rows"]),
            node("Reshape", [f"{states}.rows", "boxes"], [f"{states}.grid"]),
        ]
    nodes += [
        node(
            "Attention",
            ["query.grid", "key.grid", "value.grid", "", "", "", "lengths"],
            ["attended"],
            q_num_heads=heads,
            kv_num_heads=heads,
            scale=scale,
        ),
        node("Reshape", ["attended", "rows"], ["flat"]),
        node("Gather", ["flat", "cell_of_token"], ["output"]),
    ]
    inputs = ["query", "key", "value", "bias", "token_offset", "starts"]
    return helper.make_function(
        OWN_DOMAIN, name, inputs, ["output"], nodes, [helper.make_opsetid("", 24)]
    )


def _numbers(name: str, *values: int) -> onnx.NodeProto:
    tensor = helper.make_tensor("", TensorProto.INT64, [len(values)], values)
    return helper.make_node("Constant", [], [name], value=tensor)
