"""How large each channel of the activations gets, on real text."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from export.fusion import initializer
from export.int8 import Channels, linears
from export.tokenization import PackedTokenizer

CALL_TEXTS = 16


def largest_channels(model: ir.Model, tokenizer: PackedTokenizer, texts: list[str]) -> Channels:
    """Of each quantized product: the largest |x| of each channel of its input.

    model  of the encoder in float32; it is not changed
    """
    watched = model.clone()
    outputs = {node.inputs[1].name: _watch(watched.graph, node) for node in linears(watched)}  # type: ignore[union-attr]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "watched.onnx"
        ir.save(watched, path, external_data="watched.onnx.data")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = [
            _run(session, list(outputs.values()), tokenizer, texts[start : start + CALL_TEXTS])
            for start in range(0, len(texts), CALL_TEXTS)
        ]
    largest = [np.max(calls, axis=0) for calls in zip(*found, strict=True)]
    return {str(name): channels for name, channels in zip(outputs, largest, strict=True)}


def _watch(graph: ir.Graph, node: ir.Node) -> str:
    """Make the largest |x| of each channel of a product's input an output; its name."""
    weights = node.inputs[1]
    assert weights is not None
    assert weights.const_value is not None
    shape = initializer(graph, f"{weights.name}.rows", np.array([-1, weights.const_value.shape[0]]))
    axis = initializer(graph, f"{weights.name}.axis", np.array([0]))
    rows = ir.node("Reshape", [node.inputs[0], shape])  # (T, K), whatever stands before T
    size = ir.node("Abs", [rows.outputs[0]])
    largest = ir.node("ReduceMax", [size.outputs[0], axis], attributes={"keepdims": 0})
    output = largest.outputs[0]
    output.name, output.type = f"{weights.name}.largest", ir.TensorType(ir.DataType.FLOAT)
    graph.insert_before(node, [rows, size, largest])
    graph.outputs.append(output)
    return output.name


def _run(
    session: onnxruntime.InferenceSession,
    outputs: list[str],
    tokenizer: PackedTokenizer,
    texts: list[str],
) -> list[NDArray[np.float32]]:
    input_ids, seq_lens = tokenizer.tokenize(texts)
    found: list[NDArray[np.float32]] = session.run(
        outputs, {"INPUT_IDS": input_ids, "SEQ_LENS": seq_lens}
    )
    return found
