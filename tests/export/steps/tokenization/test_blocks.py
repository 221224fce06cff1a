"""The ends of long texts and the number of their ids, from segments, block by block."""

import pytest

from export.steps.tokenization.asking import ID_BYTES, packed
from export.steps.tokenization.blocks import BLOCK_BYTES, LEAST_BYTES, Blocks
from export.steps.tokenization.segments import Segments
from tests.export.steps.tokenization.kinds import CUT_KINDS, byte_bpe, run, whole_ids, wordpiece
from tests.export.steps.tokenization.texts import hard_text

WORDS = " ".join(
    f"the bread, {number} of Käse\n" if number % 9 else "  x" for number in range(3000)
)
COUNTS = (0, 1, 17, 300, 3000)


def blocks_of(kind: str) -> tuple[Blocks, list[int]]:
    tokenizer = CUT_KINDS[kind]()
    return Blocks(Segments(tokenizer, 2**22, are_tireless=True)), whole_ids(tokenizer, WORDS)


@pytest.mark.parametrize("kind", CUT_KINDS)
def test_ends_and_numbers_are_those_of_the_whole(kind: str) -> None:
    blocks, ids = blocks_of(kind)
    data = WORDS.encode()
    assert len(ids) == run(blocks.count(data))
    for count in COUNTS:
        assert packed(ids[:count]) == run(blocks.end(data, count, is_last=False))
        last = ids[max(0, len(ids) - count) :]
        assert packed(last) == run(blocks.end(data, count, is_last=True))


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe", "unigram"])
def test_what_segments_tell_of_hard_texts_is_right(kind: str) -> None:
    tokenizer = CUT_KINDS[kind]()
    blocks = Blocks(Segments(tokenizer, 2**22, are_tireless=True))
    for seed in range(40):
        text = hard_text(seed, 4000)
        ids = whole_ids(tokenizer, text)
        assert run(blocks.count(text.encode())) in (None, len(ids))
        assert run(blocks.end(text.encode(), 9, is_last=False)) in (None, packed(ids[:9]))
        assert run(blocks.end(text.encode(), 9, is_last=True)) in (None, packed(ids[-9:]))


@pytest.mark.parametrize("is_last", [False, True])
def test_no_more_is_read_than_is_needed(is_last: bool) -> None:
    blocks = Blocks(Segments(wordpiece(), 2**22, are_tireless=True))
    middle = b"\xff" * 3 * LEAST_BYTES  # no UTF-8
    words = b"the bread of " * 200
    row = run(blocks.end(words + middle + b" " + words, 20, is_last))
    assert row is not None
    assert 20 * ID_BYTES == len(row)


def test_each_block_is_a_slice() -> None:
    blocks = Blocks(Segments(wordpiece(), 2**22, are_tireless=True))
    data = b"the bread of " * 10_000
    assert -(-len(data) // BLOCK_BYTES) <= len(list(blocks.count(data)))
    assert not any(blocks.count(data))


@pytest.mark.parametrize(
    "data",
    [b"a" * 50_000, b" " * 50_000, b"a b " + b"c" * 50_000, b"\n" * 50_000, b"a  " * 20_000],
    ids=["one word", "blanks", "a word that ends", "lines", "two blanks"],
)
def test_what_has_no_cuts_or_no_ids_is_left_to_windows(data: bytes) -> None:
    blocks = Blocks(Segments(byte_bpe(), 2**22, are_tireless=True))
    assert run(blocks.count(data)) is None
    assert run(blocks.end(data, 20_000, is_last=False)) is None
    assert run(blocks.end(data, 20_000, is_last=True)) is None


def test_nothing_is_asked_for_where_it_is_not_worth_it() -> None:
    segments = Segments(wordpiece(), 2**22)
    segments.rows([" ".join(f"w{number}" for number in range(2000)).encode()])
    assert run(Blocks(segments).count(b"the bread of " * 1000)) is None
