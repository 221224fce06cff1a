"""Which segments may stand alone."""

import pytest
from tokenizers import AddedToken, normalizers

from export.steps.tokenization.cuts import Uncut
from export.steps.tokenization.neighbours import AddedTokens, Edges
from tests.export.steps.tokenization.kinds import blank_bpe, byte_bpe, unigram, wordpiece


def edges(normalizer: normalizers.Normalizer | None) -> Edges:
    tokenizer = byte_bpe()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return Edges(tokenizer)


@pytest.mark.parametrize("segment", ["a", "Straße,", "面", "\na\t", "👍🏽!", "a\u0301b", "", "\n"])
def test_ordinary_characters_are_safe(segment: str) -> None:
    assert edges(normalizers.NFKC()).are_safe(segment)


@pytest.mark.parametrize(
    "segment",
    ["\u0301a", "a\u0301", "a\u200b", "\u200da", "\xa0a", "a\u3000", "a\x00", "▁a", "a\u0600",
     "\u0d4e", "\xb4a", "a\xb4"],
)  # fmt: skip
def test_what_joins_its_neighbour_is_not(segment: str) -> None:
    assert not edges(normalizers.NFKC()).are_safe(segment)


def test_what_a_normalizer_makes_blanks_of_depends_on_it() -> None:
    assert edges(None).are_safe("\xb4a")
    assert not edges(normalizers.Replace("x", " ")).are_safe("x")
    assert not edges(normalizers.Replace("x", "")).are_safe("ax")
    assert edges(normalizers.Replace("x", " ")).are_safe("axa")


def test_frames_of_every_normalizer_are_known() -> None:
    prepending = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    assert edges(prepending).are_safe("word")
    with pytest.raises(Uncut, match="changes letters"):
        edges(normalizers.Replace("b", "a"))


def test_the_unknown_is_no_added_token_but_is_looked_for() -> None:
    tokenizer = wordpiece()
    added = AddedTokens(tokenizer)
    assert ("[UNK]", tokenizer.token_to_id("[UNK]")) == (added.unknown, added.unknown_id)
    assert {tokenizer.token_to_id(token) for token in ("[SEP]", "<s>")} == added.ids
    assert "[UNK]" == AddedTokens(unigram()).unknown


def test_runs_of_blanks_are_none_unless_they_take_more() -> None:
    tokenizer = blank_bpe()
    assert tokenizer.token_to_id("  ") not in AddedTokens(tokenizer).ids
    tokenizer.add_tokens([AddedToken("\t\t", rstrip=True)])
    assert tokenizer.token_to_id("\t\t") in AddedTokens(tokenizer).ids


def test_without_a_token_for_the_unknown_nothing_is_looked_for() -> None:
    assert ("", -1) == (AddedTokens(byte_bpe()).unknown, AddedTokens(byte_bpe()).unknown_id)


def test_an_unknown_that_takes_blanks_is_not_borne() -> None:
    tokenizer = wordpiece()
    tokenizer.add_special_tokens([AddedToken("[UNK]", lstrip=True)])
    with pytest.raises(Uncut, match="in several forms"):
        AddedTokens(tokenizer)
