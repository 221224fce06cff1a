"""The graphs of all shapes, made by the exporter from random weights that are then dropped.

`python -m load_tests.gpu.graphs build/gpu_check/graphs`; graphs that are there are kept unless the
exporter has changed.
"""

import argparse
import shutil
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn
from transformers import BertModel

from export.graph.encoder import GPU, convert, write_model
from export.graph.kernels import use_packed_attention
from export.manifest import exporter_digest
from export.serving import Target
from load_tests.gpu.bert import bert
from load_tests.gpu.repositories import make_repository
from load_tests.gpu.shapes import PACKED, PADDED, SERVED, SHAPES, STANDARD, Shape, graph_of
from load_tests.gpu.weights import SCALE, Weight, data_of, write_listing

DIGEST = "exporter.txt"
TARGETS: tuple[Target, ...] = ("cuda", "cpu")  # of repositories; the latter where CUDA is fake
POOLING = "mean"
PADDED_OPSET = 24  # whose attention is one operator


def make(shapes: Iterable[Shape], graphs: Path) -> None:
    """Into <graphs>/<shape>/<form>/model.onnx, a list of its weights beside each."""
    digest = graphs / DIGEST
    if not digest.exists() or digest.read_text() != exporter_digest():
        shutil.rmtree(graphs, ignore_errors=True)
    for shape in shapes:
        if not (graphs / shape.name).exists():
            graphs.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=graphs) as folder:
                write_forms(bert(shape), shape, Path(folder))
                Path(folder, shape.name).rename(graphs / shape.name)
            digest.write_text(exporter_digest())
        if shape.name in SERVED:
            for target in TARGETS:
                make_repository(graphs, shape, target)


def write_forms(model: BertModel, shape: Shape, graphs: Path) -> None:
    """The three graphs of one model, without its weights."""
    packed = convert(model, (POOLING,), form=GPU)
    write_model(packed, _place(graphs, shape, STANDARD))
    if use_packed_attention(packed) != shape.layers:
        raise RuntimeError(f"{shape.name}: attention of some layer is not exchanged")
    write_model(packed, _place(graphs, shape, PACKED))
    write_padded(model, _place(graphs, shape, PADDED))
    for form in (STANDARD, PACKED, PADDED):
        _drop_weights(graph_of(graphs, shape, form))


class Padded(nn.Module):
    """A transformer over (N, S) ids, and the mean over what is no padding."""

    def __init__(self, transformer: BertModel) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(N, S) int64 twice → (N, D) float32."""
        states = self.transformer(input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(torch.float32)
        return (states.to(torch.float32) * mask).sum(dim=1) / mask.sum(dim=1)


def write_padded(model: BertModel, path: Path) -> None:
    """As torch.onnx exports a model when nobody helps it."""
    example = torch.ones(2, 8, dtype=torch.int64)
    both = {0: torch.export.Dim("N"), 1: torch.export.Dim("S")}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's notes to its own developers
        program = torch.onnx.export(
            Padded(model).eval(),
            (example, example.clone()),
            dynamic_shapes={"input_ids": both, "attention_mask": both},
            dynamo=True,
            input_names=["INPUT_IDS", "ATTENTION_MASK"],
            output_names=["EMBEDDING"],
            opset_version=PADDED_OPSET,
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces
    write_model(program.model, path)


def _place(graphs: Path, shape: Shape, form: str) -> Path:
    path = graph_of(graphs, shape, form)
    path.parent.mkdir(parents=True)
    return path


def _drop_weights(path: Path) -> None:
    """But for tables of numbers that mean something, which go into the graph."""
    model = onnx.load(path, load_external_data=False)
    external = [x for x in model.graph.initializer if x.data_location == TensorProto.EXTERNAL]
    weights = [tensor for tensor in external if tensor.data_type == TensorProto.FLOAT16]
    for tensor in external:
        if tensor.data_type != TensorProto.FLOAT16:
            table = numpy_helper.to_array(tensor, base_dir=str(path.parent))
            tensor.CopyFrom(numpy_helper.from_array(table, tensor.name))
    onnx.save(model, path)
    norms = {x.input[1] for x in model.graph.node if x.op_type == "LayerNormalization"}
    write_listing([_weight(tensor, tensor.name in norms) for tensor in weights], path)
    data_of(path).unlink()


def _weight(tensor: Any, is_scale: bool) -> Weight:
    place = {x.key: int(x.value) for x in tensor.external_data if x.key != "location"}
    kind = SCALE if is_scale else ""
    return Weight(tensor.name, place["length"] // 2, place.get("offset", 0), kind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("graphs", type=Path)
    parser.add_argument("--tiny", action="store_true", help="small ones under the same names")
    options = parser.parse_args()
    make([shape.tiny if options.tiny else shape for shape in SHAPES], options.graphs)


if __name__ == "__main__":
    main()
