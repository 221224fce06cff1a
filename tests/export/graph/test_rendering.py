"""The ONNX operators: what the plain ones give, and the same bytes in every company."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.modules import Pooling

from export.graph import packed
from export.graph.blocks import BLOCK, subgraph
from export.graph.inputs import feed
from export.graph.rendering import render_attention, render_pool
from export.steps.inference import Layout

Floats = NDArray[np.float32]

SHORT = ([1], [5, 9, 2], [1, 1, 1, 1], [33, 1, 7])
LONG = ([BLOCK + 1], [3, 2 * BLOCK + 1, 1])
TOLERANCE = 1e-5  # float32, sums of up to 641 terms in another order


def rendered(
    render: Callable[..., Any],
    inputs: dict[str, tuple[ir.DataType, list[int | None]]],
) -> Callable[..., NDArray[Any]]:
    """An operator as a graph of its own, fed with the layout of `seq_lens`, run by onnxruntime."""
    values = [
        ir.Value(name=name, type=ir.TensorType(kind), shape=ir.Shape(shape))
        for name, (kind, shape) in inputs.items()
    ]
    graph = subgraph(render, values)
    graph.opset_imports[""] = 20
    graph.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    model = ir.Model(graph, ir_version=10)
    feed(model)
    content = ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    asked = [value.name for value in session.get_inputs()]

    def run(*arrays: NDArray[Any]) -> NDArray[Any]:
        given = dict(zip(inputs, arrays, strict=True))
        ids = np.zeros(given["seq_lens"].sum(), dtype=np.int64)
        layout = Layout(ids, given["seq_lens"], block=BLOCK)
        feeds = {name: given[name] for name in asked if name in given}
        feeds |= {name: getattr(layout, name.lower()) for name in asked if name not in given}
        result: NDArray[Any] = session.run(None, feeds)[0]
        return result

    return run


@dataclass(frozen=True)
class Attention:
    """One kind of attention, both forms of it."""

    heads: int = 2
    shared: int = 2
    size: int = 8
    causal: bool = False
    window: int = 0
    softcap: float = 0.0
    reach: int = 0  # R of the table of biases; 0 for none

    @property
    def table(self) -> Floats | None:
        """(heads, 2 R + 1), so large that a wrong bias is seen."""
        if not self.reach:
            return None
        rng = np.random.default_rng(seed=0)
        return rng.standard_normal((self.heads, 2 * self.reach + 1), dtype=np.float32)

    def draw(self, length: int) -> list[Floats]:
        """Query, key and value of one text."""
        rng = np.random.default_rng(seed=length)
        widths = (self.heads * self.size, self.shared * self.size, self.shared * self.size)
        return [rng.standard_normal((1, length, width), dtype=np.float32) for width in widths]

    def plain(self, *texts: list[Floats]) -> Floats:
        states = (torch.from_numpy(each) for each in _packed(texts))
        lengths = torch.tensor([text[0].shape[1] for text in texts], dtype=torch.int32)
        table = None if self.table is None else torch.from_numpy(self.table)
        options = (self.size, 0.5, self.causal, self.window, self.softcap)
        attended: Floats = packed.attention(*states, lengths, table, *options).numpy()
        return attended


@cache
def onnx(kind: Attention) -> Callable[..., list[Floats]]:
    """Takes texts; gives each one's (length, heads * size)."""

    def attention(query: Any, key: Any, value: Any, seq_lens: Any) -> Any:
        return render(query, key, value, seq_lens, None)

    def biased(query: Any, key: Any, value: Any, seq_lens: Any, table: Any) -> Any:
        return render(query, key, value, seq_lens, table)

    def render(query: Any, key: Any, value: Any, seq_lens: Any, table: Any) -> Any:
        options = (kind.size, 0.5, kind.causal, kind.window, kind.softcap)
        return render_attention(query, key, value, seq_lens, table, *options)

    tables = [] if kind.table is None else [kind.table]
    inputs: dict[str, tuple[ir.DataType, list[int | None]]] = {
        "query": (ir.DataType.FLOAT, [1, None, kind.heads * kind.size]),
        "key": (ir.DataType.FLOAT, [1, None, kind.shared * kind.size]),
        "value": (ir.DataType.FLOAT, [1, None, kind.shared * kind.size]),
        "seq_lens": (ir.DataType.INT32, [None]),
    }
    if tables:
        inputs["table"] = ir.DataType.FLOAT, list(tables[0].shape)
    run = rendered(biased if tables else attention, inputs)

    def attend(*texts: list[Floats]) -> list[Floats]:
        lengths = np.array([text[0].shape[1] for text in texts], dtype=np.int32)
        return np.split(run(*_packed(texts), lengths, *tables)[0], np.cumsum(lengths)[:-1])

    return attend


def _packed(texts: Sequence[list[Floats]]) -> list[Floats]:
    return [np.concatenate(states, axis=1) for states in zip(*texts, strict=True)]


KINDS = {
    "bidirectional": Attention(),
    "causal": Attention(causal=True),
    "local": Attention(window=3),
    "far": Attention(window=400),
    "causal and local": Attention(causal=True, window=100),
    "grouped": Attention(heads=4),
    "causal and grouped": Attention(shared=1, causal=True, size=16),
    "bounded": Attention(softcap=1.5, causal=True, window=100),
    "biased": Attention(reach=40, heads=4),
    "biased far": Attention(reach=700),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@every_kind
@pytest.mark.parametrize("lengths", SHORT + LONG, ids=str)
def test_attention_agrees_with_the_plain_one(kind: Attention, lengths: list[int]) -> None:
    texts = [kind.draw(length) for length in lengths]

    found = np.concatenate(onnx(kind)(*texts))

    np.testing.assert_allclose(found[np.newaxis], kind.plain(*texts), atol=TOLERANCE)


@every_kind
def test_a_text_has_the_same_bytes_alone_in_whole_and_in_blocks(kind: Attention) -> None:
    """Beside a long text, short ones are in blocks too, and the blocks have another size."""
    attend = onnx(kind)
    texts = [kind.draw(length) for length in (1, 2, 3, 30, BLOCK - 1, BLOCK, BLOCK + 1, 500, 1500)]
    alone = [attend(text)[0] for text in texts]

    for found in (attend(*texts), attend(*reversed(texts))[::-1]):
        for ours, theirs in zip(alone, found, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for first, second in pairwise(range(len(texts))):
        found = attend(texts[first], texts[second])
        np.testing.assert_array_equal(alone[first], found[0])
        np.testing.assert_array_equal(alone[second], found[1])


@pytest.mark.parametrize("size", [4, 16, 24, 32, 64, 80, 128, 256])
def test_where_keys_begin_does_not_change_the_bytes(size: int) -> None:
    """Local attention leaves keys out before a block; a block's size changes where."""
    attend = onnx(Attention(heads=1, shared=1, size=size, window=600))
    texts = [Attention(heads=1, shared=1, size=size).draw(length) for length in (2000, 2500)]

    alone, beside = attend(texts[0])[0], attend(*texts)[0]

    np.testing.assert_array_equal(alone, beside)


@pytest.mark.parametrize("lengths", [[5, 9, 2], [5, BLOCK + 10, 2]], ids=["whole", "in blocks"])
@pytest.mark.parametrize("sick", [0, 1, 2])
def test_what_is_not_a_number_stays_within_its_text(lengths: list[int], sick: int) -> None:
    kind = Attention()
    texts = [kind.draw(length) for length in lengths]
    for states in texts[sick]:
        states[:] = np.nan

    found = onnx(kind)(*texts)

    assert [bool(np.isnan(text).any()) for text in found] == [n == sick for n in range(3)]


@cache
def pooling(mode: str) -> Callable[..., Floats]:
    def pool(token_embeddings: Any, seq_lens: Any) -> Any:
        return render_pool(token_embeddings, seq_lens, mode)

    return rendered(
        pool,
        {"states": (ir.DataType.FLOAT, [None, 5]), "seq_lens": (ir.DataType.INT32, [None])},
    )


def test_padding_in_a_text_has_its_own_position_and_counts_for_none() -> None:
    """As RoBERTa: Source: transformers, create_position_ids_from_input_ids."""
    ids, lengths = torch.tensor([7, 1, 8, 9, 1, 7]), torch.tensor([4, 2])

    assert [2, 1, 3, 4, 1, 2] == packed.positions(ids, lengths, 1).tolist()


@pytest.mark.parametrize("mode", packed.POOLINGS)
@pytest.mark.parametrize("lengths", SHORT + LONG, ids=str)
def test_pooling_agrees_with_the_plain_one(mode: str, lengths: list[int]) -> None:
    states = torch.randn(sum(lengths), 5)

    found = pooling(mode)(states.numpy(), np.array(lengths, dtype=np.int32))

    expected = packed.pool(states, torch.tensor(lengths), mode).numpy()
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@pytest.mark.parametrize("mode", packed.POOLINGS)
def test_pooling_gives_a_text_the_same_bytes_whatever_its_neighbours(mode: str) -> None:
    pool = pooling(mode)
    texts = [
        np.random.default_rng(seed=n).standard_normal((n, 5), dtype=np.float32)
        for n in range(1, 40)
    ]
    lengths = np.array([len(text) for text in texts], dtype=np.int32)

    together = pool(np.concatenate(texts), lengths)

    alone = [pool(text, lengths[n : n + 1])[0] for n, text in enumerate(texts)]
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("mode", packed.POOLINGS)
def test_pooling_agrees_with_sentence_transformers(mode: str) -> None:
    theirs = Pooling(5, mode)
    texts = [torch.randn(length, 5) for length in (1, 2, 7)]

    found = packed.pool(torch.cat(texts), torch.tensor([1, 2, 7]), mode)

    for text, ours in zip(texts, found, strict=True):
        features = {"token_embeddings": text[None], "attention_mask": torch.ones(1, len(text))}
        torch.testing.assert_close(theirs(features)["sentence_embedding"][0], ours)


@pytest.mark.parametrize("mode", packed.POOLINGS)
def test_pooling_keeps_what_is_not_a_number_within_its_text(mode: str) -> None:
    states = np.ones((9, 5), dtype=np.float32)
    states[:2] = np.nan

    found = pooling(mode)(states, np.array([2, 6, 1], dtype=np.int32))

    assert [True, False, False] == np.isnan(found).any(axis=1).tolist()
