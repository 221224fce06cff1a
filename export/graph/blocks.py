"""Attention of long texts in ONNX operators: one head and one block of queries at a time.

The scores of a whole text are heads x S x S numbers; of one block of one head they are B x S, and
stay in a core's cache. A row of attention depends on no other row, and onnxruntime sums it in the
same order whatever else it computes: the bytes are those of the whole grid.

    rows (T x rows of a token, size) ──Scan over (block, head)──▶ softmax(q k) v, (B, size) each

Keys that no query of a block can see are left out: what comes after it where attention is causal,
what is out of reach where it is local.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from onnxscript import evaluator
from torch.onnx._internal.exporter._building import OpRecorder  # there is no public one

from export.graph.grid import Heads, numbers, round_up
from export.graph.inputs import FLOAT, INT64, fed, op
from export.steps.inference.layout import SUM_STEP

# Most tokens of a block: 128 is slower, 512 not faster. A text that fits one is not cut: up to
# about 300 tokens the operators of a loop cost more than the cache saves.
BLOCK = 320
MASKED = -1e30  # exp() of it is 0 in float32, and adding a score to it cannot overflow


@dataclass(frozen=True, slots=True)
class Scores:
    """What becomes of the products of queries and keys.

    causal   whether a token sees only itself and those before it
    window   tokens at distance |i - j| < window are seen; 0 for all
    softcap  bound of the scaled products; 0 for none
    """

    scaling: float
    causal: bool
    window: int
    softcap: float

    def of(self, products: Any) -> Any:
        """Scaled and bounded, before anything is added."""
        scores = op.Mul(products, self.scaling)
        if not self.softcap:
            return scores
        return op.Mul(op.Tanh(op.Div(scores, self.softcap)), self.softcap)


def places_in_table(table: Any, queries: Any, keys: Any) -> Any:
    """Where the bias of each pair stands in a table (heads, 2 R + 1): (B, 1), (K,) → (B, K)."""
    reach = table.shape[1] // 2
    return op.Clip(op.Add(op.Sub(keys, queries), reach), 0, 2 * reach)


def subgraph(render: Callable[..., Any], inputs: Sequence[ir.Value] = ()) -> ir.Graph:
    """What `render` makes of the inputs, as the branch or body of an operator around it."""
    recorder = OpRecorder(op, {})  # type: ignore[abstract]  # only to mypy
    with evaluator.default_as(recorder):
        output = render(*inputs)
    values = [value for node in recorder.nodes for value in node.outputs]
    for number, value in enumerate(values):  # no name of the graphs around it may come again
        value.name = f"{render.__name__}.{number}"
    return ir.Graph(inputs, [output], nodes=recorder.nodes, name=render.__name__)


class _Blocks:
    """The texts cut into M blocks of B tokens; the last of a text may have fewer."""

    def __init__(self, seq_lens: Any) -> None:
        self.tokens = fed("BLOCK_TOKENS", seq_lens)  # (M, B)
        self.lengths = fed("BLOCK_LENGTHS", seq_lens)  # (M,), of the text
        self.starts = fed("BLOCK_STARTS", seq_lens)  # (M,), of the text
        self.positions = fed("BLOCK_POSITIONS", seq_lens)  # (M,), within the text
        self.size = op.Squeeze(op.Shape(self.tokens, start=1, end=2), [0])  # B
        self.ends = op.Add(self.positions, self.size)  # (M,), perhaps behind the text's

    def keys(self, causal: bool, window: int, step: int) -> tuple[Any, Any]:
        """Which positions its queries may see, from and up to: (M,) each."""
        until = round_up(self.lengths, SUM_STEP)
        if causal:
            until = op.Min(until, round_up(self.ends, SUM_STEP))
        elif window:
            until = op.Min(until, round_up(op.Add(self.ends, window), SUM_STEP))
        reach = op.Sub(self.positions, window) if window else op.Mul(self.positions, 0)
        return op.Mul(op.Div(op.Max(reach, 0), step), step), until


def render_in_blocks(
    rows: Any, seq_lens: Any, heads: Heads, form: Scores, table: Any | None = None
) -> Any:
    """Attention of each text to itself.

    rows     (T * heads.rows, size) float32
    table    (heads, 2 R + 1), or none, as `packed::attention` has it
    returns  (T, heads, size)
    """
    blocks = _Blocks(seq_lens)
    first_rows = op.Unsqueeze(op.Mul(blocks.tokens, numbers([heads.rows])), [1])  # (M, 1, B)
    query_rows = op.Add(first_rows, numbers(heads.queries, heads.count, 1))  # (M, heads, B)
    first_key = op.Add(  # (M, heads)
        op.Unsqueeze(op.Mul(blocks.starts, heads.rows), [1]), numbers(heads.keys, dtype=INT64)
    )
    keys = blocks.keys(form.causal, form.window, _sum_step(heads.size))

    def block(
        query_rows: Any,
        first_key: Any,
        length: Any,
        position: Any,
        first: Any,
        end: Any,
        *head: Any,
    ) -> Any:
        """Of one block and head: (B, size)."""
        key_positions = op.Range(first, end, 1)  # (K,)
        real = op.Less(key_positions, length)
        # Padding reads its own text's first token, so that a NaN stays within its text.
        key_rows = op.Add(op.Mul(op.Where(real, key_positions, 0), heads.rows), first_key)
        q, k = op.Gather(rows, query_rows), op.Gather(rows, key_rows)  # (B, size), (K, size)
        v = op.Gather(rows, op.Add(key_rows, heads.shared))
        scores = form.of(op.MatMul(q, op.Transpose(k, perm=[1, 0])))  # (B, K)
        query_positions = op.Unsqueeze(op.Add(op.Range(0, blocks.size, 1), position), [1])
        if table is not None:
            places = places_in_table(table, query_positions, key_positions)
            scores = op.Add(scores, op.Gather(op.Gather(table, *head), places))
        hidden = _hidden(query_positions, key_positions, real, form.causal, form.window)
        biased = op.Add(scores, op.Mul(op.Cast(hidden, to=FLOAT), MASKED))
        return op.MatMul(op.Softmax(biased, axis=-1), v)

    scanned = [
        op.Flatten(query_rows, axis=2),  # (M * heads, B)
        op.Reshape(first_key, [-1]),
        *(_for_each_head(x, heads) for x in (blocks.lengths, blocks.positions, *keys)),
    ]
    if table is not None:
        scanned.append(op.Mod(op.Range(0, op.Size(first_key), 1), heads.count))
    body = subgraph(block, [_scanned(index) for index in range(len(scanned))])
    attended = op.Scan(*scanned, body=body, num_scan_inputs=len(scanned))  # (M * heads, B, size)
    places = rows_of_tokens(seq_lens, blocks.tokens, heads)
    return op.Gather(op.Reshape(attended, [-1, heads.size]), places)


def rows_of_tokens(seq_lens: Any, boxes: Any, heads: Heads) -> Any:
    """Where each head of each token lies in the rows of attention: (T, heads).

    boxes  (N, S) of the grid, or (M, B) of the blocks
    """
    # Row of box b, head h, place p: (b * heads + h) * size + p.
    size = op.Shape(boxes, start=1, end=2)  # (1,)
    first = op.Mul(fed("BOX_OF_TOKEN", seq_lens), op.Mul(size, heads.count))
    place = op.Add(first, fed("PLACE_IN_BOX", seq_lens))
    return op.Add(op.Unsqueeze(place, [1]), op.Mul(size, numbers(heads.queries, dtype=INT64)))


def _sum_step(size: int) -> int:
    """Keys at a multiple of which a sum over keys may begin and have the same bits.

    onnxruntime adds them up in runs of that length, longer ones for narrow heads.
    Source: StrideK of MlasSgemmOperation, onnxruntime/core/mlas/lib/sgemm.cpp.
    """
    return next(128 * 128 // width for width in (16, 32, 64, 128) if size <= width or width == 128)


def _hidden(queries: Any, keys: Any, real: Any, causal: bool, window: int) -> Any:
    """Which positions (K,) are not seen from which (B, 1): (B, K) bool, or (K,)."""
    hidden = op.Greater(keys, queries) if causal else op.Not(real)
    if window:
        hidden = op.Or(hidden, op.LessOrEqual(keys, op.Sub(queries, window)))
    if window and not causal:
        hidden = op.Or(hidden, op.GreaterOrEqual(keys, op.Add(queries, window)))
    return hidden


def _for_each_head(values: Any, heads: Heads) -> Any:
    """(M,) → (M * heads,)"""
    return op.Reshape(op.Expand(op.Unsqueeze(values, [1]), [1, heads.count]), [-1])


def _scanned(index: int) -> ir.Value:
    """What the body is called with: the rows of a block's queries, and numbers."""
    return ir.Value(
        name=f"scanned.{index}",
        type=ir.TensorType(ir.DataType.INT64 if index else ir.DataType.INT32),
        shape=ir.Shape([] if index else [None]),
    )
