"""Packed texts → micro-batches of like length under a token budget → embeddings in order.

On a CPU small batches win: a few hundred tokens keep the activations in a core's cache.
The exporter copies this file beside the encoder step's `model.py`, byte for byte.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Embeddings = NDArray[np.float32]
MicroBatch: TypeAlias = tuple[Ids, Lengths]  # (T',) token ids, (N',) lengths
EncodeAll: TypeAlias = Callable[[Sequence[MicroBatch]], Sequence[Embeddings]]


def encode_in_micro_batches(
    encode_all: EncodeAll, input_ids: Ids, seq_lens: Lengths, max_tokens: int, workers: int = 1
) -> Embeddings:
    """One embedding a text, in the order of the texts.

    encode_all  micro-batches → for each the (N', D) float32 of its texts
    input_ids   (T,) int64, all texts one after the other
    seq_lens    (N,) int32, tokens of each text, T in sum
    max_tokens  of one micro-batch; a longer text travels alone
    workers     that encode side by side: each gets its share, even of few tokens
    returns     (N, D) float32
    """
    order = np.argsort(seq_lens, kind="stable")[::-1]  # longest first, the rest fills up
    lengths = seq_lens[order]
    tokens = input_ids[_tokens_in_order(seq_lens, order)]
    budget = even_budget(len(tokens), max_tokens, workers)
    ends = np.cumsum(lengths)
    micro_batches = [
        (tokens[ends[first] - lengths[first] : ends[last - 1]], lengths[first:last])
        for first, last in cut(lengths, budget)
    ]
    rows = np.concatenate(encode_all(micro_batches))
    embeddings = np.empty_like(rows)
    embeddings[order] = rows
    return embeddings


def even_budget(tokens: int, max_tokens: int, workers: int) -> int:
    """Tokens of a micro-batch, such that the workers finish together.

    The fewest micro-batches that the budget allows, rounded up to a multiple of the workers.
    """
    count = math.ceil(math.ceil(tokens / max_tokens) / workers) * workers
    return math.ceil(tokens / count)


def cut(lengths: Lengths, max_tokens: int) -> list[tuple[int, int]]:
    """First and last + 1 of each micro-batch of consecutive texts.

    As many texts as fit max_tokens, at least one.
    """
    spans = []
    first, tokens = 0, 0
    for index, length in enumerate(lengths.tolist()):
        if tokens and tokens + length > max_tokens:
            spans.append((first, index))
            first, tokens = index, 0
        tokens += length
    return [*spans, (first, len(lengths))]


def _tokens_in_order(seq_lens: Lengths, order: NDArray[np.intp]) -> NDArray[np.int64]:
    """Where each token comes from when the texts are laid out in `order`: (T,) int64."""
    lengths = seq_lens[order].astype(np.int64)
    starts = np.cumsum(seq_lens, dtype=np.int64) - seq_lens
    new_starts = np.cumsum(lengths) - lengths
    tokens: NDArray[np.int64] = np.arange(lengths.sum())
    tokens += np.repeat(starts[order] - new_starts, lengths)
    return tokens
