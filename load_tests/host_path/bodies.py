"""The bodies of a row's calls, as bytes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle

import orjson

from load_tests.host_path.corpus import texts_of
from load_tests.host_path.rows import FRESH_CALLS, WORDS
from load_tests.payloads import equal, take, texts

SPECIAL_TOKENS = 2  # of each text, beside a token a word
DISTINCT_TEXTS = 2048  # in the bodies that are sent again and again


@dataclass(frozen=True, slots=True)
class Calls:
    """Of what kind they are.

    part, part_calls  which part of the texts that are never sent twice, and its calls
    """

    model: str
    source: str
    tokens: int
    texts: int
    encoding_format: str
    part: int = 0
    part_calls: int = FRESH_CALLS

    @property
    def warm_up(self) -> "Calls":
        """Of the same kind, with texts that repeat."""
        return replace(self, source=WORDS)

    def stream(self) -> Iterator[bytes]:
        """Those to send: each once, or again and again if the source repeats."""
        return cycle(self.bodies) if self.source == WORDS else iter(self.bodies)

    @property
    def bodies(self) -> list[bytes]:
        """Each once."""
        if self.source == WORDS:
            batch = _words(self.tokens)
        else:
            size = self.part_calls * self.texts
            batch = texts_of(self.source)[self.part * size : (self.part + 1) * size]
        starts = range(0, len(batch) - self.texts + 1, self.texts)
        return [self._body(batch[start : start + self.texts]) for start in starts]

    def _body(self, batch: list[str]) -> bytes:
        call = {"model": self.model, "input": batch, "encoding_format": self.encoding_format}
        return orjson.dumps(call)


@cache
def _words(tokens: int) -> list[str]:
    return take(DISTINCT_TEXTS, texts(equal(tokens - SPECIAL_TOKENS), f"host path/{tokens}"))
