"""A graph of bfloat16 in float32, with the same rounded weights: for processors without it."""

import numpy as np
import onnx_ir as ir

from export.graph.fusion import initializer

NARROW, WIDE = ir.DataType.BFLOAT16, ir.DataType.FLOAT


def widened(model: ir.Model) -> ir.Model:
    """A copy whose values are float32 wherever they were bfloat16."""
    wide = model.clone()
    graph = wide.graph
    for name, value in list(graph.initializers.items()):
        if value.dtype == NARROW and value.const_value is not None:
            array = value.const_value.numpy().astype(np.float32)
            del graph.initializers[name]
            ir.convenience.replace_all_uses_with(value, initializer(graph, name, array))
    for node in graph.all_nodes():
        if node.op_type == "Cast" and node.attributes.get_int("to", 0) == NARROW:
            node.attributes["to"] = ir.AttrInt64("to", WIDE)
        elif node.op_type == "Constant":
            _widen_constant(node)
        for output in node.outputs:
            if output.dtype == NARROW:
                output.type = ir.TensorType(WIDE)
    return wide


def _widen_constant(node: ir.Node) -> None:
    tensor = node.attributes.get("value")
    if tensor is not None and tensor.as_tensor().dtype == NARROW:
        array = tensor.as_tensor().numpy().astype(np.float32)
        node.attributes["value"] = ir.AttrTensor("value", ir.tensor(array))
