"""Working memory of the micro-batches that run: even shares, and turns for what needs more.

The exporter copies this file beside the encoder step's `model.py`, byte for byte.
"""

from collections.abc import Callable

MIB_A_WORKER = 512  # a quarter of what machines have a core


class Memory:
    """Half of it in even shares, one a worker, and half of it in turns.

    What fits a share runs whenever a worker is free. A text that needs more waits until the other
    half has room beside those that run; one that needs more than that half runs when no other of
    them does. So the sum stays within the limit, unless that one text alone is above it.
    """

    def __init__(self, text_bytes: Callable[[int], int], workers: int, limit_mib: int = 0) -> None:
        """Of `workers` that run one micro-batch each.

        text_bytes  of one text, padded to so many tokens
        limit_mib   of all; 0 for MIB_A_WORKER each
        """
        half = (limit_mib or MIB_A_WORKER * workers) * 2**20 // 2
        self._text_bytes = text_bytes
        self._share = half // workers
        self._room = self._turns = half

    def most_texts(self, tokens: int) -> int:
        """Texts of such a length that one share holds, at least one."""
        return max(self._share // self._text_bytes(tokens), 1)

    def is_large(self, tokens: int) -> bool:
        """Whether a text needs more than a share."""
        return self._text_bytes(tokens) > self._share

    def has_room(self, tokens: int) -> bool:
        """Whether it can be a large text's turn."""
        return self._room == self._turns or self._text_bytes(tokens) <= self._room

    def take(self, tokens: int) -> None:
        """For a micro-batch whose longest text has so many tokens."""
        if self.is_large(tokens):
            self._room -= self._text_bytes(tokens)

    def give_back(self, tokens: int) -> None:
        """What was taken for it."""
        if self.is_large(tokens):
            self._room += self._text_bytes(tokens)
