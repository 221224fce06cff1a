"""Rotary embeddings as one operator each, where torch's are eight.

    X (1, heads, T, size) ─▶ X * cos + Concat(-X[size / 2 :], X[: size / 2]) * sin

The operator takes X before its heads were brought to the front, and one half of the angles, whose
other half is the same.
"""

import numpy as np
import onnx_ir as ir

from export.graph.fusion import clean, constant, initializer, producer, rounded_to

TO_FRONT = (0, 2, 1, 3)


def use_rotary(model: ir.Model) -> None:
    """Exchange them in place; results stay what they were but for rounding."""
    for node in list(model.graph):
        if node.op_type == "Add":
            _exchange(model.graph, node)
    clean(model)


def _exchange(graph: ir.Graph, total: ir.Node) -> None:
    first, second = (producer(value) for value in total.inputs)
    if first is None or second is None or not first.op_type == second.op_type == "Mul":
        return
    states = first.inputs[0]
    if states is None or not _is_turned(producer(second.inputs[0]), states):
        return
    source, result = _before_front(states), rounded_to(total.outputs[0], states)
    if source is None or source.shape is None or source.dtype != result.dtype:
        return
    angles = [_half(graph, node.inputs[1], source, total) for node in (first, second)]
    heads, size = source.shape[2], source.shape[3]
    if None in angles or not isinstance(heads, int) or not isinstance(size, int):
        return
    name = result.name
    flat_shape = initializer(graph, f"{name}.flat", np.array([1, -1, heads * size]))
    flat = ir.node("Reshape", [source, flat_shape])
    rotated = ir.node("RotaryEmbedding", [flat.outputs[0], *angles], {"num_heads": heads})
    shape = initializer(graph, f"{name}.heads", np.array([1, -1, heads, size]))
    apart = ir.node("Reshape", [rotated.outputs[0], shape])
    front = ir.node("Transpose", [apart.outputs[0]], {"perm": TO_FRONT})
    for value in (flat.outputs[0], rotated.outputs[0], apart.outputs[0], front.outputs[0]):
        value.type = source.type
    front.outputs[0].shape = result.shape
    graph.insert_before(total, [flat, rotated, apart, front])
    ir.convenience.replace_all_uses_with(result, front.outputs[0])


def _before_front(states: ir.Value) -> ir.Value | None:
    """What was there before heads came to the front, and before it became float32."""
    has_moved = False
    value: ir.Value | None = states
    while (node := producer(value)) is not None:
        if node.op_type == "Transpose" and not has_moved:
            has_moved = tuple(node.attributes.get_ints("perm", ())) == TO_FRONT
            if not has_moved:
                return None
        elif node.op_type != "Cast":
            break
        value = node.inputs[0]
    return value if has_moved else None


def _is_turned(node: ir.Node | None, states: ir.Value) -> bool:
    """Whether it is Concat(-X[half :], X[: half])."""
    if node is None or node.op_type != "Concat" or len(node.inputs) != 2:
        return False
    negative, rest = producer(node.inputs[0]), producer(node.inputs[1])
    if negative is None or negative.op_type != "Neg" or rest is None:
        return False
    last = producer(negative.inputs[0])
    if last is None or not last.op_type == rest.op_type == "Slice":
        return False
    half = constant(rest.inputs[2])
    return (
        last.inputs[0] is states
        and rest.inputs[0] is states
        and half is not None
        and _starts(rest) == 0
        and _starts(last) == half.item()
    )


def _starts(node: ir.Node) -> int | None:
    start = constant(node.inputs[1])
    return None if start is None else int(start.item())


def _half(
    graph: ir.Graph, value: ir.Value | None, source: ir.Value, before: ir.Node
) -> ir.Value | None:
    """The first half of cosines or sines (1, 1, T, size) of angles that come twice: (1, T, …).

    source  whose type it gets
    """
    node = producer(value)
    while node is not None and node.op_type in ("Cast", "Unsqueeze"):
        value = node.inputs[0]
        if node.op_type == "Unsqueeze":
            break
        node = producer(value)
    if value is None or value.shape is None or len(value.shape) != 3 or not _comes_twice(value):
        return None
    size = value.shape[2]
    if not isinstance(size, int):
        return None
    numbers = [np.array([number]) for number in (0, size // 2, 2)]
    names = [f"rotary.{part}.{size}" for part in ("from", "to", "axis")]
    bounds = [
        graph.initializers.get(name) or initializer(graph, name, number)
        for name, number in zip(names, numbers, strict=True)
    ]
    half = ir.node("Slice", [value, *bounds])
    cast = ir.node("Cast", [half.outputs[0]], {"to": source.dtype})
    cast.outputs[0].type = source.type
    graph.insert_before(before, [half, cast])
    return cast.outputs[0]


def _comes_twice(value: ir.Value) -> bool:
    """Whether it is made, number by number, of a concatenation of one value with itself."""
    node = producer(value)
    while node is not None and node.op_type in ("Cast", "Mul", "Cos", "Sin"):
        scaled = constant(node.inputs[1]) if node.op_type == "Mul" else np.array(0)
        if scaled is None or scaled.ndim:
            return False
        node = producer(node.inputs[0])
    return node is not None and node.op_type == "Concat" and len(set(node.inputs)) == 1
