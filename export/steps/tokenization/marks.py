"""Combining marks, which some normal forms bring into an order of their own."""

import unicodedata

from tokenizers import Tokenizer


def sorts_marks(tokenizer: Tokenizer) -> bool:
    """Whether normalization brings combining marks into their canonical order."""
    if tokenizer.normalizer is None:
        return False
    one, other = map(tokenizer.normalizer.normalize_str, ("a\u0301\u0323", "a\u0323\u0301"))
    return one == other


def is_mark(character: str) -> bool:
    """Whether a character can change places with its neighbours, or is too young to be known."""
    return bool(character) and (
        unicodedata.combining(character) != 0 or unicodedata.category(character) == "Cn"
    )


def bears_mark(character: str) -> bool:
    """Whether a character is a mark or has one in itself, as é has."""
    return any(map(is_mark, unicodedata.normalize("NFKD", character)))
