"""What a tokenizer's post-processor puts around the ids of a text."""

from collections.abc import Iterator
from typing import TypeAlias

from tokenizers import Tokenizer

Ids: TypeAlias = tuple[int, ...]

PROBES = ("a", "b c", "1 2 3.")


def special_ids(tokenizer: Tokenizer) -> tuple[Ids, Ids] | None:
    """The ids before and after those of every text; None if that is not all that is done."""
    around = set.intersection(*(set(_around(tokenizer, text)) for text in PROBES))
    return max(around, default=None)


def _around(tokenizer: Tokenizer, text: str) -> Iterator[tuple[Ids, Ids]]:
    """What stands around the ids of a text, for every place where they can be found."""
    inner = tuple(tokenizer.encode(text, add_special_tokens=False).ids)
    whole = tuple(tokenizer.encode(text).ids)
    for start in range(len(whole) - len(inner) + 1):
        end = start + len(inner)
        if whole[start:end] == inner:
            yield whole[:start], whole[end:]
