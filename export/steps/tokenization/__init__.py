"""Texts → one flat sequence of token ids, at a cost that the limit bounds and not the text.

    packed      texts of one call, the three ways to treat what is too long
    specials    the ids around those of every text

Where a tokenizer bears it, a text is cut at blanks, and the ids of its segments are looked up:

    segments    texts of one call, segment by segment
    blocks      an end of a long text, or the number of its ids, from segments
    cuts        which tokenizers bear it, and where they do
    neighbours  which segments are what they are whatever stands beside them
    asking      the ids of segments that nobody knows yet
    generations what is known of them, within a bound
    worth       when not to look anything up

Otherwise a text far above the limit is tokenized in windows, and only tokens that are surely those
of the whole text count:

    windows     the first ids, the last ids, or the number of ids of one long text
    reading     one end of a text, decoded as far as asked for
    pieces      a window: tokens, and the pieces that the model sees
    certainty   which tokens of a window are those of the whole text
    edges       how far what is not read reaches: added tokens, blanks, `marks`
    subwords    what is certain within one piece without end, of BPE and of Unigram
    omissions   what may be left out: blanks, words too long to be known, what repeats itself
    folding     runs of megabytes for Unigram, by `lattice` and `runs`

The exporter copies this folder beside the tokenizer step's `model.py`, byte for byte.
"""

from .packed import (
    KEEP_END,
    KEEP_START,
    REFUSE,
    InputTooLong,
    Packed,
    PackedTokenizer,
    are_short,
)

__all__ = [
    "KEEP_END",
    "KEEP_START",
    "REFUSE",
    "InputTooLong",
    "Packed",
    "PackedTokenizer",
    "are_short",
]
