"""Packed texts → micro-batches of similar length under a token budget → embeddings in order.

On a CPU small batches win: about 512 tokens keep the activations in a core's cache.
The exporter copies this file beside the encoder step's `model.py`, byte for byte.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Embeddings = NDArray[np.float32]


def encode_in_micro_batches(
    encode: Callable[[Ids, Lengths], Embeddings],
    input_ids: Ids,
    seq_lens: Lengths,
    max_tokens: int,
) -> Embeddings:
    """One embedding a text, in the order of the texts.

    encode      (T',) int64 and (N',) int32 → (N', D) float32
    input_ids   (T,) int64, all texts one after the other
    seq_lens    (N,) int32, tokens of each text, T in sum
    max_tokens  of one micro-batch; a longer text travels alone
    returns     (N, D) float32
    """
    order = np.argsort(seq_lens, kind="stable")
    lengths = seq_lens[order]
    tokens = input_ids[_tokens_in_order(seq_lens, order)]
    ends = np.cumsum(lengths)
    rows = []
    for first, last in cut(lengths, max_tokens):
        start = ends[first] - lengths[first]
        rows.append(encode(tokens[start : ends[last - 1]], lengths[first:last]))
    embeddings = np.empty((len(seq_lens), rows[0].shape[1]), dtype=np.float32)
    embeddings[order] = np.concatenate(rows)
    return embeddings


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
