"""Texts of one call → chunks, by estimated tokens. Pure.

A chunk is one Triton request. Texts of about one length together waste least in the encoder, and
small chunks let Triton mix the calls of several clients. The encoder itself takes from a chunk what
fills a micro-batch, so chunks need not be smaller than that, and each costs hops and copies.
"""

from collections.abc import Sequence

ESTIMATED_TOKENS = 1.5  # for each that English has, by gateway/inference/estimates.py
SHORT_TOKENS = 16  # of a text; of shorter ones a chunk has fewer tokens than it might


def limits(chunk_tokens: int, chunk_texts: int, micro_batch_tokens: int) -> tuple[int, int]:
    """Tokens and texts of a chunk, for an encoder that takes so many tokens at a time.

    On a CPU a chunk is several micro-batches, by the settings. On a GPU it is one, of English: a
    Triton's window has two or three of them, encoded and on their way.
    """
    tokens = max(chunk_tokens, int(ESTIMATED_TOKENS * micro_batch_tokens))
    return tokens, max(chunk_texts, tokens // SHORT_TOKENS)


def cut(token_estimates: Sequence[int], *, max_tokens: int, max_texts: int) -> list[list[int]]:
    """Indices of the texts of each chunk; longest texts first, every index exactly once.

    max_tokens  estimated tokens of a chunk; a longer text has a chunk of its own
    max_texts   texts of a chunk

    What fits into one chunk keeps the order of the call.
    """
    if len(token_estimates) <= max_texts and sum(token_estimates) <= max_tokens:
        return [list(range(len(token_estimates)))]
    chunks: list[list[int]] = []
    room_tokens = 0
    for index in sorted(range(len(token_estimates)), key=lambda i: -token_estimates[i]):
        tokens = token_estimates[index]
        if not chunks or tokens > room_tokens or len(chunks[-1]) == max_texts:
            chunks.append([])
            room_tokens = max_tokens
        chunks[-1].append(index)
        room_tokens -= tokens
    return chunks
