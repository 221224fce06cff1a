"""What goes to a GPU, of each kind of attention: as a CPU runs it, against the checkpoint."""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from export.graph.devices import without_kernel
from export.graph.encoder import GPU, write_model
from export.graph.footprint import product_weights
from export.graph.kernels import use_packed_attention
from export.graph.widening import widened
from export.reference import Reference, load
from export.sample import Floats, Ids
from export.steps.inference import Feeder
from export.translations import translated
from export.verification import MIN_COSINE, cosines
from tests.checkpoints import make_checkpoint
from tests.export.graph.plain_kernels import as_functions

pytestmark = pytest.mark.slow

# How many of the attentions of two or four layers are a kernel's that only CUDA has.
PACKED = {
    "bert": 2,
    "nomic-bert": 2,  # rotary
    "modernbert": 2,  # two more are local
    "mpnet": 0,  # a bias of distances
    "jina-v2": 0,  # likewise, in float32 whatever the weights
    "qwen3": 0,  # causal
    "gemma2": 0,  # causal, local and bounded
    "embeddinggemma": 0,  # local on both sides, shared heads
}
every_kind = pytest.mark.parametrize("kind", PACKED)


@cache
def reference(kind: str, folder: Path) -> Reference:
    with translated(make_checkpoint(folder / kind, kind)) as (read, _):
        return load(read)


@cache
def converted(kind: str, folder: Path, dtype: torch.dtype) -> ir.Model:
    return reference(kind, folder).rounded(dtype).convert(GPU)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu_graphs")


def rows(longest: int = 60) -> list[Ids]:
    """Texts of many lengths, special tokens and padding among them."""
    draw = np.random.default_rng(seed=0)
    return [draw.integers(0, 60, size=length) for length in (5, 1, 17, 2, longest, 33)]


def run(path: Path, texts: list[Ids]) -> list[Floats]:
    """(N, D) of the texts, each alone, all together, and all in another order."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeder = Feeder(session)

    def embed(*chosen: int) -> NDArray[np.float32]:
        lengths = np.array([len(texts[n]) for n in chosen], dtype=np.int32)
        ids = np.concatenate([texts[n] for n in chosen])
        found: NDArray[np.float32] = session.run(None, feeder.feeds(ids, lengths))[0]
        return found

    order = range(len(texts))
    backwards = embed(*reversed(order))[::-1]
    return [np.concatenate([embed(n) for n in order]), embed(*order), backwards]


def lowest_cosine(kind: str, folder: Path, found: list[Floats]) -> float:
    expected = np.stack([reference(kind, folder).embed(row) for row in rows()])
    return min(float(cosines(vectors, expected).min()) for vectors in found)


@every_kind
def test_a_graph_in_halves_is_the_checkpoint(kind: str, folder: Path, tmp_path: Path) -> None:
    model = converted(kind, folder, torch.float16)
    write_model(model, tmp_path / "model.onnx")

    found = run(tmp_path / "model.onnx", rows())

    assert lowest_cosine(kind, folder, found) >= MIN_COSINE["fp16"]
    assert not without_kernel(model)
    assert "SEQ_LENS" not in {value.name for value in model.graph.inputs}


@every_kind
def test_a_graph_with_kernels_of_cuda_is_too(kind: str, folder: Path, tmp_path: Path) -> None:
    """With each kernel replaced by a function of plain operators, which takes what it takes."""
    model = converted(kind, folder, torch.float16).clone()
    exchanged = use_packed_attention(model)
    write_model(model, tmp_path / "cuda.onnx")
    plain = as_functions(onnx.load(tmp_path / "cuda.onnx"))
    onnx.save(plain, tmp_path / "plain.onnx")

    found = run(tmp_path / "plain.onnx", rows())

    assert PACKED[kind] == exchanged
    assert lowest_cosine(kind, folder, found) >= MIN_COSINE["fp16"]
    for node in model.graph.all_nodes():  # what nobody reads would keep its inputs alive
        assert any(output.uses() or output.is_graph_output() for output in node.outputs)


@pytest.mark.parametrize("kind", ["qwen3", "t5"])
def test_bfloat16_is_verified_in_float32_with_its_own_weights(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    model = converted(kind, folder, torch.bfloat16)

    write_model(widened(model), tmp_path / "model.onnx")

    found = run(tmp_path / "model.onnx", rows())
    assert lowest_cosine(kind, folder, found) >= MIN_COSINE["bf16"]
    assert lowest_cosine(kind, folder, found) < MIN_COSINE["fp32"] + 9e-6
    kinds = {value.dtype for value in model.graph.initializers.values()}
    assert ir.DataType.BFLOAT16 in kinds


@pytest.mark.parametrize(
    ("kind", "added"),
    [("bert", 4), ("qwen2-bidirectional", 3)],
    ids=["of heads of their own", "turned, and of shared heads"],
)
def test_biases_of_keys_and_values_are_folded(
    kind: str, added: int, folder: Path, tmp_path: Path
) -> None:
    """In float32, where what is folded differs by rounding alone."""
    biased = reference(kind, folder / "biased")
    draw = torch.Generator().manual_seed(0)
    for name, parameter in biased.model.named_parameters():
        if name.endswith("bias"):
            parameter.data = torch.randn(parameter.shape, generator=draw)
    model = biased.convert(GPU)
    write_model(model, tmp_path / "model.onnx")

    found = run(tmp_path / "model.onnx", rows())

    assert 2 * added == len(biases_added(model))
    assert lowest_cosine(kind, folder / "biased", found) >= 1 - 1e-9


def biases_added(model: ir.Model) -> list[ir.Node]:
    """Additions of a constant to every token."""
    return [
        node
        for node in model.graph
        if node.op_type == "Add"
        and node.inputs[1] is not None
        and node.inputs[1].const_value is not None
        and len(node.inputs[1].const_value.shape) == 1
    ]


def test_the_weights_of_all_products_are_counted(folder: Path) -> None:
    """Four of attention and two behind it in each layer."""
    model = converted("bert", folder, torch.float16)
    hidden, inner, layers = 32, 64, 2

    assert layers * (4 * hidden**2 + 2 * hidden * inner) == product_weights(model)
