"""What goes to a GPU, of each kind of attention: as a CPU runs it, and as CUDA would."""

from dataclasses import dataclass
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
from export.steps.inference import Feeder, cosines
from export.translations import translated
from export.verification import MIN_COSINE
from tests.checkpoints import make_checkpoint
from tests.fake_cuda.encoders import LENGTHS, elsewhere, run_encoder
from tests.fake_cuda.plain_kernels import as_functions

pytestmark = pytest.mark.fake_cuda


@dataclass(frozen=True)
class Kind:
    """What a structure of two to four layers comes to.

    packed    attentions that are a kernel's which only CUDA has
    flash     attentions by the flash kernel; the others have a mask or a bias
    launches  of a run, products aside: more are a fusion that torch or onnxruntime has lost
    products  of a run
    """

    packed: int
    flash: int
    launches: int
    products: int


KINDS = {
    "bert": Kind(2, 2, 19, 13),
    "nomic-bert": Kind(2, 2, 30, 15),  # rotary, gated
    "modernbert": Kind(2, 2, 84, 17),  # two of four are local
    "mpnet": Kind(0, 0, 34, 13),  # a bias of distances
    "jina-v2": Kind(0, 0, 39, 13),  # likewise, in float32 whatever the weights
    "qwen3": Kind(0, 2, 44, 14),  # causal, shared heads
    "gemma2": Kind(0, 1, 52, 14),  # causal, local and bounded
    "embeddinggemma": Kind(0, 1, 90, 24),  # two of three local on both sides
}
every_kind = pytest.mark.parametrize("kind", KINDS)


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

    assert KINDS[kind].packed == exchanged
    assert lowest_cosine(kind, folder, found) >= MIN_COSINE["fp16"]
    for node in model.graph.all_nodes():  # what nobody reads would keep its inputs alive
        assert any(output.uses() or output.is_graph_output() for output in node.outputs)


@every_kind
def test_nothing_but_the_embeddings_leaves_the_gpu(kind: str, folder: Path, tmp_path: Path) -> None:
    model = converted(kind, folder, torch.float16).clone()
    use_packed_attention(model)
    write_model(model, tmp_path / "model.onnx")

    outcome = run_encoder(tmp_path / "model.onnx", LENGTHS, LENGTHS)

    assert not outcome.error
    assert not elsewhere(outcome)
    report = outcome.rounds[1].report
    assert [""] == outcome.rounds[1].errors
    assert len(model.graph.inputs) == report.copied("host to device").count
    assert 1 == report.copied("device to host").count
    assert 2 == report.waits  # for what goes in, and for what comes out
    assert KINDS[kind].flash == report.launched("flash_fwd_kernel")
    assert KINDS[kind].launches == report.launched()
    assert KINDS[kind].products == sum(report.computations.values())


@pytest.mark.parametrize("capability", ["8.0", "8.6", "8.9", "12.0"])
def test_other_chips_have_the_same_kernels(capability: str, folder: Path, tmp_path: Path) -> None:
    model = converted("bert", folder, torch.float16).clone()
    use_packed_attention(model)
    write_model(model, tmp_path / "model.onnx")

    outcome = run_encoder(tmp_path / "model.onnx", LENGTHS, FAKE_CUDA_CAPABILITY=capability)

    assert [""] == outcome.rounds[0].errors
    assert KINDS["bert"].flash == outcome.rounds[0].report.launched("flash_fwd_kernel")


@pytest.mark.parametrize("kind", ["bert", "modernbert", "qwen3"])
def test_memory_is_flat_over_forty_shapes(kind: str, folder: Path, tmp_path: Path) -> None:
    model = converted(kind, folder, torch.float16).clone()
    use_packed_attention(model)
    write_model(model, tmp_path / "model.onnx")
    draw = np.random.default_rng(seed=0)
    longest = [60] * 30
    shapes = [draw.integers(1, 61, size=draw.integers(1, 31)).tolist() for _ in range(40)]

    alone = run_encoder(tmp_path / "model.onnx", longest).rounds[-1].report
    after_all = run_encoder(tmp_path / "model.onnx", longest, *shapes).rounds[-1].report

    assert alone.live_bytes == after_all.live_bytes


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


@pytest.mark.parametrize(
    ("kind", "pair_bytes"),
    [("bert", 0), ("qwen3", 0), ("modernbert", 19), ("mpnet", 16 + 2 * 4 * 4)],
    ids=["neither", "a diagonal", "a mask", "a bias of four heads"],
)
def test_what_attention_is_told_of_pairs_is_noted(kind: str, pair_bytes: int, folder: Path) -> None:
    notes = converted(kind, folder, torch.float16).metadata_props

    assert str(pair_bytes) == notes["pair_bytes"]
