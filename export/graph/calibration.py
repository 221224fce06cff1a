"""What goes into the products in int8, on real text."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx_ir as ir
import onnxruntime

from export.graph.fusion import initializer
from export.graph.int8 import Activations, linears
from export.steps.inference import Feeder
from export.steps.tokenization import PackedTokenizer

CALL_TEXTS = 16


def watch_inputs(
    model: ir.Model, tokenizer: PackedTokenizer, texts: list[str]
) -> dict[str, Activations]:
    """What goes into each product in int8, by the name of its weights.

    model  of the encoder in float32; it is not changed
    """
    watched = model.clone()
    outputs = {str(node.inputs[1].name): _watch(watched.graph, node) for node in linears(watched)}  # type: ignore[union-attr]
    names = [name for pair in outputs.values() for name in pair]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "watched.onnx"
        ir.save(watched, path, external_data="watched.onnx.data")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        feeder = Feeder(session)
        found: dict[str, Activations] = {}
        for start in range(0, len(texts), CALL_TEXTS):
            input_ids, seq_lens = tokenizer.tokenize(texts[start : start + CALL_TEXTS])
            values = session.run(names, feeder.feeds(input_ids, seq_lens))
            for weights, ranges, gram in zip(outputs, values[::2], values[1::2], strict=True):
                seen = Activations(ranges, gram)
                found[weights] = found[weights].joined(seen) if weights in found else seen
    return found


def _watch(graph: ir.Graph, node: ir.Node) -> tuple[str, str]:
    """Make the ranges and the Gram matrix of a product's input outputs; their names."""
    weights = node.inputs[1]
    assert weights is not None
    assert weights.const_value is not None
    shape = initializer(graph, f"{weights.name}.rows", np.array([-1, weights.const_value.shape[0]]))
    axis = initializer(graph, f"{weights.name}.axis", np.array([0]))
    rows = ir.node("Reshape", [node.inputs[0], shape])  # (T, K), whatever stands before T
    states = rows.outputs[0]
    extremes = [ir.node(kind, [states, axis]) for kind in ("ReduceMin", "ReduceMax")]
    ranges = ir.node("Concat", [each.outputs[0] for each in extremes], attributes={"axis": 0})
    turned = ir.node("Transpose", [states])
    gram = ir.node("MatMul", [turned.outputs[0], states])
    graph.insert_before(node, [rows, *extremes, ranges, turned, gram])
    for output, kind in ((ranges.outputs[0], "ranges"), (gram.outputs[0], "gram")):
        output.name, output.type = f"{weights.name}.{kind}", ir.TensorType(ir.DataType.FLOAT)
        graph.outputs.append(output)
    return f"{weights.name}.ranges", f"{weights.name}.gram"
