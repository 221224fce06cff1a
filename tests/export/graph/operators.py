"""One packed operator as a graph of its own, in the form of a target, run by onnxruntime."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from numpy.typing import NDArray

from export.graph import packed
from export.graph.blocks import BLOCK, subgraph
from export.graph.encoder import CPU, Form
from export.graph.inputs import feed
from export.steps.inference import Layout

Floats = NDArray[np.float32]

SHORT = ([1], [5, 9, 2], [1, 1, 1, 1], [33, 1, 7])
LONG = ([BLOCK + 1], [3, 2 * BLOCK + 1, 1])
ATTENTION = packed.OPERATORS.attention.default
POOL = packed.OPERATORS.pool.default


def rendered(
    render: Callable[..., Any],
    inputs: dict[str, tuple[ir.DataType, list[int | None]]],
    form: Form = CPU,
    output: ir.DataType = ir.DataType.FLOAT,
) -> Callable[..., NDArray[Any]]:
    """An operator as a graph of its own, fed with the layout of `seq_lens`, run by onnxruntime."""
    values = [
        ir.Value(name=name, type=ir.TensorType(kind), shape=ir.Shape(shape))
        for name, (kind, shape) in inputs.items()
    ]
    graph = subgraph(render, values)
    graph.opset_imports[""] = form.opset
    graph.outputs[0].type = ir.TensorType(output)
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
def onnx(
    kind: Attention, form: Form = CPU, dtype: ir.DataType = ir.DataType.FLOAT
) -> Callable[..., list[Floats]]:
    """Takes texts of float32; gives each one's (length, heads * size).

    dtype  that the states have on the way
    """

    def attention(query: Any, key: Any, value: Any, seq_lens: Any) -> Any:
        return render(query, key, value, seq_lens, None)

    def biased(query: Any, key: Any, value: Any, seq_lens: Any, table: Any) -> Any:
        return render(query, key, value, seq_lens, table)

    def render(query: Any, key: Any, value: Any, seq_lens: Any, table: Any) -> Any:
        options = (kind.size, 0.5, kind.causal, kind.window, kind.softcap)
        return form.translations[ATTENTION](query, key, value, seq_lens, table, *options)

    tables = [] if kind.table is None else [kind.table]
    inputs: dict[str, tuple[ir.DataType, list[int | None]]] = {
        "query": (dtype, [1, None, kind.heads * kind.size]),
        "key": (dtype, [1, None, kind.shared * kind.size]),
        "value": (dtype, [1, None, kind.shared * kind.size]),
        "seq_lens": (ir.DataType.INT32, [None]),
    }
    if tables:
        inputs["table"] = ir.DataType.FLOAT, list(tables[0].shape)
    run = rendered(biased if tables else attention, inputs, form, dtype)

    def attend(*texts: list[Floats]) -> list[Floats]:
        lengths = np.array([text[0].shape[1] for text in texts], dtype=np.int32)
        states = [each.astype(dtype.numpy()) for each in _packed(texts)]
        found = run(*states, lengths, *tables)[0].astype(np.float32)
        return np.split(found, np.cumsum(lengths)[:-1])

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


@cache
def pooling(mode: str, form: Form = CPU) -> Callable[..., Floats]:
    def pool(token_embeddings: Any, seq_lens: Any) -> Any:
        return form.translations[POOL](token_embeddings, seq_lens, mode)

    return rendered(
        pool,
        {"states": (ir.DataType.FLOAT, [None, 5]), "seq_lens": (ir.DataType.INT32, [None])},
        form,
    )
