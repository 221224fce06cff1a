"""What a text will cost, in tokens, before it is tokenized.

Guessed from its bytes: English has four to five a token, other scripts about three, punctuation
one. Who sends more tokens a byte than a third is believed what the tokenizer found in his texts.
"""

from collections.abc import Hashable, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

# A little more tokens than most texts have, which costs a smaller chunk and never an overfull one.
BYTES_PER_TOKEN = 3
# Bytes that count for what is known before: a call of 64 short texts is believed half.
PRIOR_BYTES = 4096.0
NOTHING_SEEN = (PRIOR_BYTES / BYTES_PER_TOKEN, PRIOR_BYTES)
# Bytes of late that count; what was before them fades.
REMEMBERED_BYTES = 65536
SPECIAL_TOKENS = 2
# Callers remembered; a bound on memory, not on callers.
MAX_CALLERS = 1024
# A text far above the limit is cut, but it is carried, and counted under `none`. Bytes beyond
# LONG_BYTES a token of the limit cost one token for BYTES_CARRIED of them: tokenizing punctuation
# takes 1.6 us a byte, encoding a token 80 us.
LONG_BYTES = 8
BYTES_CARRIED = 64


class Estimates:
    """Tokens a byte, as the tokenizer of a model found them in the texts of a caller."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[float, float]] = {}  # tokens and bytes of late

    def guess(self, who: Hashable, texts: Sequence[bytes], max_length: int) -> list[int]:
        """(N,) tokens that each text costs.

        who         caller and model
        texts       in UTF-8
        max_length  tokens of the longest text, special tokens included
        """
        tokens, seen_bytes = self._seen.get(who, NOTHING_SEEN)
        rate = max(tokens / seen_bytes, 1 / BYTES_PER_TOKEN)
        long = LONG_BYTES * max_length  # what is longer is above the limit at every rate
        return [
            tokens
            if (tokens := ceil(length * rate) + SPECIAL_TOKENS) <= max_length
            else max_length + max(length - long, 0) // BYTES_CARRIED
            for length in map(len, texts)
        ]

    def learn(
        self,
        who: Hashable,
        texts: Sequence[bytes],
        token_counts: NDArray[np.int32],
        max_length: int,
    ) -> None:
        """Takes in what the tokenizer found: token_counts (N,), special tokens included.

        Texts at the limit say nothing: they may have been cut.
        """
        found_bytes = found_tokens = 0
        for text, tokens_of_text in zip(texts, token_counts.tolist(), strict=True):
            if tokens_of_text < max_length:
                found_bytes += len(text)
                found_tokens += max(tokens_of_text - SPECIAL_TOKENS, 0)
        if not found_bytes:
            return
        tokens, seen_bytes = self._seen.pop(who, NOTHING_SEEN)
        kept = max(1 - found_bytes / REMEMBERED_BYTES, 0.0)
        self._seen[who] = (tokens * kept + found_tokens, seen_bytes * kept + found_bytes)
        if len(self._seen) > MAX_CALLERS:
            del self._seen[next(iter(self._seen))]  # whose last answer is longest ago
