"""What the graph is fed with beside the tokens: numbers of `steps/layout.py`, by their names.

While a transformer is traced, where its texts lie is known by their lengths alone. An operator that
needs more asks for it by name, as a node over the lengths; once the graph is whole, each such name
becomes an input, and the lengths go unless something else reads them.
"""

from functools import cache
from typing import Any

import onnx
import onnx_ir as ir
import onnxscript
from onnxscript import values

from export.graph.fusion import clean

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
op: Any = onnxscript.opset20  # its annotations forbid what its tracer accepts: plain numbers

DOMAIN = "packed.layout"
# Sizes: tokens T, texts N, positions S of the grid, blocks M of B tokens.
LAYOUT: dict[str, tuple[ir.DataType, tuple[str, ...]]] = {
    "POSITIONS": (ir.DataType.INT64, ("T",)),
    "LENGTHS": (ir.DataType.INT64, ("N",)),
    "STARTS": (ir.DataType.INT32, ("N + 1",)),
    "FIRST_TOKENS": (ir.DataType.INT32, ("N",)),
    "LAST_TOKENS": (ir.DataType.INT32, ("N",)),
    "STEPS": (ir.DataType.INT64, ("S",)),
    "TOKEN_OF_CELL": (ir.DataType.INT32, ("N", "S")),
    "CELL_OF_TOKEN": (ir.DataType.INT32, ("T",)),
    "TOKEN_OFFSET": (ir.DataType.INT32, ("N", "S")),
    "MEAN": (ir.DataType.FLOAT, ("N", "1", "S")),
    "MEAN_SQRT_LEN_TOKENS": (ir.DataType.FLOAT, ("N", "1", "S")),
    "WEIGHTEDMEAN": (ir.DataType.FLOAT, ("N", "1", "S")),
    "IS_LONG": (ir.DataType.BOOL, ()),
    "GRID_TOKENS": (ir.DataType.INT32, ("N", "G")),
    "GRID_STEPS": (ir.DataType.INT64, ("G",)),
    "BOX_OF_TOKEN": (ir.DataType.INT64, ("T",)),
    "PLACE_IN_BOX": (ir.DataType.INT64, ("T",)),
    "BLOCK_TOKENS": (ir.DataType.INT32, ("M", "B")),
    "BLOCK_STARTS": (ir.DataType.INT64, ("M",)),
    "BLOCK_LENGTHS": (ir.DataType.INT64, ("M",)),
    "BLOCK_POSITIONS": (ir.DataType.INT64, ("M",)),
}


def fed(name: str, seq_lens: Any) -> Any:
    """A value of the layout, which becomes an input of the graph."""
    asked = values.Op(values.Opset(DOMAIN, 1), name, _schema(name))(seq_lens)
    asked.type, asked.shape = _type(name), _shape(name)
    return asked


def feed(model: ir.Model) -> None:
    """Make inputs of what the operators ask for, in place."""
    graph = model.graph
    found = {value.name: value for value in graph.inputs}
    for node in list(graph.all_nodes()):
        if node.domain == DOMAIN:
            name = node.op_type
            if name not in found:
                found[name] = new_input(model, name)
            ir.convenience.replace_all_uses_with(node.outputs[0], found[name])
    model.opset_imports.pop(DOMAIN, None)
    graph.opset_imports.pop(DOMAIN, None)
    drop_unused(model)


def drop_unused(model: ir.Model) -> None:
    """Remove what nothing reads, inputs among it, in place."""
    clean(model)
    for value in list(model.graph.inputs):
        if not value.uses():
            model.graph.inputs.remove(value)


def new_input(model: ir.Model, name: str) -> ir.Value:
    """One of LAYOUT as an input of the graph; the one that is there already, if there is."""
    for value in model.graph.inputs:
        if value.name == name:
            return value
    value = ir.Value(name=name, type=_type(name), shape=_shape(name))
    model.graph.inputs.append(value)
    return value


def _type(name: str) -> ir.TensorType:
    return ir.TensorType(LAYOUT[name][0])


def _shape(name: str) -> ir.Shape:
    return ir.Shape([int(size) if size.isdigit() else size for size in LAYOUT[name][1]])


@cache
def _schema(name: str) -> onnx.defs.OpSchema:
    parameter = onnx.defs.OpSchema.FormalParameter
    kind = f"tensor({LAYOUT[name][0].name.lower()})"
    return onnx.defs.OpSchema(
        name,
        DOMAIN,
        1,
        inputs=[parameter("SEQ_LENS", "tensor(int32)")],
        outputs=[parameter(name, kind)],
    )
