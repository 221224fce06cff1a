"""Which tokenizers bear cuts, and where texts are cut."""

from collections.abc import Callable

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from export.steps.tokenization.cuts import Cuts, Uncut, cuts_of
from tests.export.steps.tokenization.kinds import (
    CUT_KINDS,
    bpe_of,
    byte_bpe,
    cut_bpe,
    one_piece_bpe,
    right_aligned_bpe,
    unigram,
    wordpiece,
)

WORDS = Cuts(drops_blanks=True, lead="", has_edges=False)
BLANKS = Cuts(drops_blanks=False, lead=" ", has_edges=True)
PREFIXED = Cuts(drops_blanks=False, lead="", has_edges=True)
LEADS = {
    "wordpiece": WORDS, "cased-wordpiece": WORDS, "word-level": WORDS, "split-unigram": WORDS,
    "byte-bpe": BLANKS, "grouped-bpe": BLANKS, "blank-bpe": BLANKS, "cut-bpe": BLANKS,
    "unigram-first": BLANKS, "unigram-never": BLANKS,
    "prefixed-bpe": PREFIXED, "unigram": PREFIXED, "collapsing-unigram": PREFIXED,
    "cut-bpe-prepended": PREFIXED,
}  # fmt: skip


@pytest.mark.parametrize("kind", CUT_KINDS)
def test_every_structure_is_cut_in_its_way(kind: str) -> None:
    assert LEADS[kind] == cuts_of(CUT_KINDS[kind]())


def changed(make: Callable[[], Tokenizer], **parts: object) -> Tokenizer:
    tokenizer = make()
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


def with_token(make: Callable[[], Tokenizer], content: str, **options: bool) -> Tokenizer:
    tokenizer = make()
    tokenizer.add_tokens([AddedToken(content, **options)])
    return tokenizer


def sequence(*parts: object) -> object:
    make = pre_tokenizers if isinstance(parts[0], pre_tokenizers.PreTokenizer) else normalizers
    return make.Sequence(list(parts))


PRE, NORMAL = pre_tokenizers, normalizers
UNCUT = {
    "one piece": (one_piece_bpe, "reaches from one word into the next"),
    "an expression that looks ahead": (right_aligned_bpe, "ByteLevel is not known to be local"),
    "an expression of its own": (
        lambda: changed(
            byte_bpe,
            pre_tokenizer=sequence(
                PRE.Split(Regex(r"\w+ \w+"), "isolated"),
                PRE.ByteLevel(add_prefix_space=False, use_regex=False),
            ),
        ),
        "an expression that is not known",
    ),
    "a normalizer of whole texts": (
        lambda: changed(wordpiece, normalizer=NORMAL.Prepend("▁")),
        "Prepend may look beyond words",
    ),
    "words made one": (
        lambda: changed(wordpiece, normalizer=NORMAL.Replace(Regex(" {2,}"), "_")),
        "Replace may look beyond words",
    ),
    "a word and a blank replaced": (
        lambda: changed(wordpiece, normalizer=NORMAL.Replace("a b", "c")),
        "Replace may look beyond words",
    ),
    "blanks replaced by two": (
        lambda: changed(unigram, normalizer=NORMAL.Replace(" a", "b")),
        "may look beyond words",
    ),
    "a pre-tokenizer beyond words": (
        lambda: changed(wordpiece, pre_tokenizer=sequence(PRE.Whitespace(), PRE.ByteLevel())),
        "ByteLevel may look beyond words",
    ),
    "a prefix twice": (
        lambda: changed(unigram, normalizer=NORMAL.Prepend("▁")),
        "before texts twice",
    ),
    "a strip of the blank before a word": (
        lambda: changed(byte_bpe, normalizer=NORMAL.Strip()),
        "strips blanks",
    ),
    "no words": (
        lambda: changed(byte_bpe, pre_tokenizer=PRE.ByteLevel(use_regex=False)),
        "not known to be local",
    ),
    "blanks that nothing marks": (
        lambda: changed(cut_bpe, normalizer=NORMAL.NFC()),
        "nothing parts its words",
    ),
    "a model of whole texts": (
        lambda: changed(cut_bpe, model=models.Unigram([("a", -1.0), ("▁", -2.0)], 0, False)),
        "sees whole texts",
    ),
    "merges left out": (lambda: bpe_of("a b", dropout=0.1), "at random"),
    "a token with a blank": (lambda: with_token(byte_bpe, "a b"), "'a b' has a blank within"),
    "one with a blank at its end": (lambda: with_token(wordpiece, "a  "), "has a blank within"),
    "one with a blank when normalized": (
        lambda: with_token(cut_bpe, "a▁b", normalized=True),
        "has a blank within",
    ),
}


@pytest.mark.parametrize("case", UNCUT)
def test_others_are_not_cut_and_it_is_said_why(case: str) -> None:
    make, reason = UNCUT[case]
    with pytest.raises(Uncut, match=reason):
        cuts_of(make())


@pytest.mark.parametrize(
    "tokenizer",
    [
        lambda: changed(byte_bpe, normalizer=NORMAL.Replace(Regex(" {2,}"), " ")),
        lambda: changed(unigram, normalizer=sequence(NORMAL.Strip(), NORMAL.Replace("``", '"'))),
        lambda: changed(
            wordpiece, pre_tokenizer=sequence(PRE.WhitespaceSplit(), PRE.Metaspace(), PRE.Digits())
        ),
        lambda: with_token(byte_bpe, "\n  "),
    ],
)
def test_what_leaves_lone_blanks_alone_is_allowed(tokenizer: Callable[[], Tokenizer]) -> None:
    cuts_of(tokenizer())


@pytest.mark.parametrize(
    ("cuts", "text", "expected"),
    [
        (WORDS, b"a  b\n c ", [b"a", b"", b"b\n", b"c", b""]),
        (PREFIXED, b" a  b\n c d\xc3\xa9 e ", [b" a  b\n c", b"d\xc3\xa9", b"e "]),
        (BLANKS, b" a b", [b"  a", b"b"]),
        (BLANKS, b"", [b" "]),
    ],
)
def test_careful_segments_join_what_no_lone_blank_parts(
    cuts: Cuts, text: bytes, expected: list[bytes]
) -> None:
    assert expected == cuts.careful_segments(text)


@pytest.mark.parametrize("cuts", [WORDS, BLANKS, PREFIXED])
def test_plain_segments_are_those_of_careful_cuts(cuts: Cuts) -> None:
    for text in (b"a", b"a bc", b"a b\nc d", b"a  b", b" a", b"a\n b", b"a ", b""):
        segments = cuts.segments(text)
        if all(map(cuts.is_plain, segments)):
            assert cuts.careful_segments(text) == segments
        else:
            assert not cuts.drops_blanks
            assert text in (b"a  b", b" a", b"a\n b", b"a ", b"")


def test_a_first_segment_is_marked_where_it_is_another() -> None:
    assert [b" a", b"a"] == BLANKS.segments(b"a a")
    assert [b"a", b"a"] == BLANKS.segments(b"a a", is_whole=False)
    assert [b"a", b"a"] == BLANKS.careful_segments(b"a a", is_whole=False)
    assert [b"a", b"a"] == PREFIXED.segments(b"a a")
    assert [True, False] == list(map(BLANKS.is_first, (b" a", b"a")))
    assert not PREFIXED.is_first(b" a")
    assert [False, True, False, False] == list(map(BLANKS.is_inner, (b" a", b"a", b"a\n", b"")))


def test_cuts_are_found_from_both_ends() -> None:
    text = b"a  b c d  e"
    assert (4, 6) == (BLANKS.first_cut(text, 0, 11), BLANKS.last_cut(text, 0, 11))
    assert (1, 9) == (WORDS.first_cut(text, 0, 11), WORDS.last_cut(text, 0, 11))
    assert (6, 4) == (BLANKS.first_cut(text, 4, 11), BLANKS.last_cut(text, 0, 6))
    assert (-1, -1) == (BLANKS.first_cut(text, 6, 11), BLANKS.last_cut(text, 0, 4))
