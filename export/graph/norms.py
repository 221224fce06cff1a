"""Root mean square norms as one operator each, where torch's are ten.

    X ─Cast─▶ Pow ─▶ ReduceMean ─▶ Add ─▶ Sqrt ─▶ Reciprocal ─▶ Mul with X ─▶ Mul with the scale

The operator computes in float32 as they do, whatever the states are in.
"""

import onnx_ir as ir

from export.graph.fusion import clean, constant, initializer, producer, rounded_to


def use_norms(model: ir.Model) -> None:
    """Exchange them in place; results stay what they were but for rounding."""
    for node in list(model.graph):
        if node.op_type == "Mul":
            _exchange(model.graph, node)
    clean(model)


def _exchange(graph: ir.Graph, scaled: ir.Node) -> None:
    """If a product is a norm's last step, put the operator in its place."""
    for scale, normalized in (scaled.inputs, scaled.inputs[::-1]):
        weights = constant(scale)
        found = _states_of(_uncast(normalized))
        if weights is None or weights.ndim != 1 or found is None:
            continue
        states, epsilon = found
        source = _uncast(states)
        result = rounded_to(scaled.outputs[0], states)  # Gemma scales before it rounds
        source = source if source is not None and source.dtype == result.dtype else states
        if source is None or source.dtype is None or source.dtype != result.dtype:
            return
        own = initializer(graph, f"{result.name}.scale", weights.astype(source.dtype.numpy()))
        _put(graph, source, own, epsilon, result, before=scaled)
        return


def _put(
    graph: ir.Graph,
    source: ir.Value,
    scale: ir.Value,
    epsilon: float,
    result: ir.Value,
    before: ir.Node,
) -> None:
    """Put the operator before heads come to the front, if they do: there rotary looks for it."""
    front = producer(source)
    moves = front is not None and front.op_type == "Transpose" and _keeps_last(front)
    states = front.inputs[0] if moves and front is not None else source
    norm = ir.node("RMSNormalization", [states, scale], {"axis": -1, "epsilon": epsilon})
    norm.outputs[0].type = result.type
    added, last = [norm], norm
    if moves and front is not None and states is not None:
        norm.outputs[0].shape = states.shape
        last = ir.node("Transpose", [norm.outputs[0]], dict(front.attributes))
        last.outputs[0].type = result.type
        added.append(last)
    last.outputs[0].shape = result.shape
    graph.insert_before(before, added)
    ir.convenience.replace_all_uses_with(result, last.outputs[0])


def _keeps_last(node: ir.Node) -> bool:
    order = tuple(node.attributes.get_ints("perm", ()))
    return bool(order) and order[-1] == len(order) - 1


def _states_of(value: ir.Value | None) -> tuple[ir.Value, float] | None:
    """What a value is the norm of, in float32, and its epsilon."""
    node = producer(value)
    if node is None or node.op_type != "Mul":
        return None
    for states, inverse in (node.inputs, node.inputs[::-1]):
        total = _through(inverse, "Reciprocal", "Sqrt", "Add")
        mean = None if total is None else _through(total.inputs[0], "ReduceMean")
        square = None if mean is None else _through(mean.inputs[0], "Pow")
        if total is None or mean is None or square is None or square.inputs[0] is not states:
            continue
        constants = (total.inputs[1], mean.inputs[1], square.inputs[1])
        epsilon, axes, power = map(constant, constants)
        is_norm = axes is not None and axes.tolist() == [-1] and power is not None and power == 2
        if states is not None and epsilon is not None and is_norm:
            return states, float(epsilon)
    return None


def _through(value: ir.Value | None, *kinds: str) -> ir.Node | None:
    """The last of a chain of nodes of such kinds, from a value up."""
    node = None
    for kind in kinds:
        node = producer(value)
        if node is None or node.op_type != kind:
            return None
        value = node.inputs[0]
    return node


def _uncast(value: ir.Value | None) -> ir.Value | None:
    node = producer(value)
    return node.inputs[0] if node is not None and node.op_type == "Cast" else value
