"""What is certain of an unfinished piece, for BPE and for Unigram, against the whole piece."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from export.steps.tokenization.pieces import Piece, Window
from export.steps.tokenization.subwords import (
    LOOK_CHARACTERS,
    UNSURE_CHARACTERS,
    Bpe,
    Subwords,
    Unigram,
    Vocabulary,
    subwords_of,
)
from tests.export.steps.tokenization.kinds import (
    bpe_of,
    byte_bpe,
    one_piece_bpe,
    unigram,
    word_level,
    wordpiece,
)


def piece_of(tokenizer: Tokenizer, text: str) -> Piece:
    """The one piece that the text is."""
    window = Window(tokenizer, text)
    assert len(window) == window.piece_end(0)
    return window.piece(0)


def of(tokenizer: Tokenizer) -> Subwords:
    subwords = subwords_of(tokenizer)
    assert subwords is not None
    return subwords


def unigram_of(**scores: float) -> Tokenizer:
    return Tokenizer(models.Unigram([("[UNK]", -9.0), *scores.items()], 0, False))


DOTS = bpe_of(". .", ".. ..")
PAIRS = unigram_of(a=-2.0, b=-2.5, ab=-3.0, ba=-3.25, c=-3.0, x=-1.0)


@pytest.mark.parametrize(
    ("tokenizer", "kind"),
    [(byte_bpe(), Bpe), (unigram(), Unigram), (wordpiece(), None), (word_level(), None)],
)
def test_bpe_and_unigram_are_known(tokenizer: Tokenizer, kind: type | None) -> None:
    subwords = subwords_of(tokenizer)

    assert subwords is None if kind is None else isinstance(subwords, kind)


@pytest.mark.parametrize(
    "options",
    [{"dropout": 0.1}, {"continuing_subword_prefix": "##"}, {"end_of_word_suffix": "</w>"}],
)
def test_bpe_that_tokenizes_by_chance_or_by_place_is_not_known(options: dict[str, Any]) -> None:
    assert subwords_of(Tokenizer(models.BPE(**options))) is None


def test_bpe_with_an_empty_prefix_and_suffix_is() -> None:
    """As GPT-4o and Qwen are converted."""
    model = models.BPE(continuing_subword_prefix="", end_of_word_suffix="")

    assert isinstance(subwords_of(Tokenizer(model)), Bpe)


def test_a_vocabulary_reaches_as_far_as_its_longest_token_by_its_first_character() -> None:
    vocabulary = Vocabulary(models.BPE(), ["a", "ab", "abc", "b", "bc", "d"])

    assert [3, 2, 1, 1] == [vocabulary.reach(text) for text in ("a", "b", "c", "d")]
    assert 3 == vocabulary.reach("dcba")
    assert 1 == vocabulary.reach("")


@pytest.mark.parametrize(
    ("text", "position", "starts"),
    [
        ("aaaaaa", 3, [3]),
        ("......", 3, [3, 2, 1, 0]),
        ("a.....", 3, [3, 2, 1]),
        ("a.....", 1, [1]),
        ("......", 5, [5, 4, 2]),
        ("......", 0, [0]),
        ("...a..", 3, [3]),
        ("....a.", 3, [3, 2, 0]),
    ],
)
def test_starts_of_tokens_across_a_position(text: str, position: int, starts: list[int]) -> None:
    """Two dots and four are tokens."""
    vocabulary = Vocabulary(DOTS.model, DOTS.get_vocab())

    assert starts == vocabulary.starts_across(text, position)


def check_settled(tokenizer: Tokenizer, beginning: str, ends: Sequence[str]) -> int:
    """How many tokens are settled, found in whatever the beginning is continued by."""
    piece = piece_of(tokenizer, beginning)
    settled = of(tokenizer).settled(piece)
    for end in ends:
        assert piece.ids[:settled] == Window(tokenizer, beginning + end).ids[:settled]
    return settled


def check_joined(tokenizer: Tokenizer, begins: Sequence[str], end: str, wanted: int = 1) -> int:
    """How many last tokens are joined, found after whatever comes before them."""
    piece = piece_of(tokenizer, end)
    joined = of(tokenizer).joined(piece, 0, wanted)
    for begin in begins:
        ids = Window(tokenizer, begin + end).ids
        assert piece.ids[len(piece.ids) - joined :] == ids[len(ids) - joined :]
    return joined


DOTTED = ["." * count for count in range(40)]


@pytest.mark.parametrize("count", range(80, 90))
def test_dots_are_settled_but_for_the_last(count: int) -> None:
    settled = check_settled(DOTS, "." * count, DOTTED)

    assert settled >= (count - UNSURE_CHARACTERS - 3 * 4) // 4 - 1


def test_where_every_pair_depends_on_the_next_nothing_is_settled() -> None:
    """The last characters pair first: one more, and all pairs before are others."""
    characters = [chr(code) for code in range(33, 127)]
    pairs = reversed([f"{left} {right}" for left, right in pairwise(characters)])
    tokenizer = bpe_of(*pairs)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(False, use_regex=False)
    text = "".join(characters[:90])

    assert 0 == check_settled(tokenizer, text, ["", characters[90], "x"])


def test_dots_of_which_the_beginning_is_unknown_are_never_joined() -> None:
    """Fours and a rest: which dots are the fours depends on how many there are."""
    assert 0 == check_joined(DOTS, DOTTED, "." * 900)


def test_dots_behind_something_else_are() -> None:
    joined = check_joined(DOTS, ["", "x", "xx", "."], "." * 30 + "-" + "." * 900)

    assert joined >= 225


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "tokenizer",
    [
        bpe_of("a b", "ab ab", "b a", "ba b", "abab abab", "c c", "cc a"),
        bpe_of("b a", "a ba", "a b", "ab c", "c ab", "a a", "aa a"),
        bpe_of("a b", "abb a", "ab b", "abb abba", "c a", ignore_merges=True),
    ],
    ids=["nested", "crossing", "whole-tokens"],
)
def test_letters_are_settled_and_joined(tokenizer: Tokenizer, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secrets
    text = "".join(draw.choices("abc", k=900))
    others = ["".join(draw.choices("abc", k=draw.randint(0, 30))) for _ in range(30)]

    settled = check_settled(tokenizer, text, others)
    joined = check_joined(tokenizer, others, text)

    count = len(piece_of(tokenizer, text).ids)
    assert settled > count - 60
    assert joined > count - 60


def test_a_merge_that_runs_from_the_end_is_waited_for() -> None:
    """Pairs are made from the left, but if z follows all would have been made one later."""
    tokenizer = bpe_of("y z", "x yz", "x y", "xy xy")
    settled = check_settled(tokenizer, "xy" * 100, ["z", "", "x", "xyz", "xyxyz"])

    assert 60 < 2 * settled < 200


@pytest.mark.parametrize("text", ["a", "." * 3, "ab" * 10])
def test_of_a_short_piece_nothing_is_settled(text: str) -> None:
    assert 0 == of(DOTS).settled(piece_of(DOTS, text))
    assert 0 == of(PAIRS).settled(piece_of(PAIRS, "ab" * 10))


@pytest.mark.parametrize("text", ["a", "." * 3, "." * 40])
def test_of_a_short_piece_nothing_is_joined(text: str) -> None:
    assert 0 == of(DOTS).joined(piece_of(DOTS, text), 0, 1)
    assert 0 == of(PAIRS).joined(piece_of(PAIRS, "ab"), 0, 1)


def test_what_is_before_the_position_is_not_relied_upon() -> None:
    """As if a blank had been put there: the piece itself has another beginning."""
    tokenizer = bpe_of("a b", "b c", "ab c")
    text = "abc" * 300
    piece = piece_of(tokenizer, text)
    wrong = piece_of(tokenizer, "c" * 30 + text[30:])

    assert of(tokenizer).joined(piece, 30, 1) == of(tokenizer).joined(wrong, 30, 1) > 0


def test_unknown_characters_as_bytes_part_a_piece() -> None:
    tokenizer = one_piece_bpe()
    text = "龘" * 200

    assert check_settled(tokenizer, text, ["a", "龘", "the bread"]) > 3 * 190
    assert check_joined(tokenizer, ["a", "龘", "the bread"], text) > 3 * 190


def test_bytes_of_one_character_stay_together() -> None:
    tokenizer = one_piece_bpe()
    piece = piece_of(tokenizer, "龘" * 30)

    assert 0 == of(tokenizer).settled(piece) % 3
    assert 0 == of(tokenizer).joined(piece, 7, 1) % 3


def test_tokens_that_do_not_spell_their_text_settle_nothing() -> None:
    tokenizer = Tokenizer(models.BPE({"[UNK]": 0, "a": 1}, [], unk_token="[UNK]"))
    piece = piece_of(tokenizer, "ax" * 300)

    assert 0 == of(tokenizer).settled(piece)
    assert 0 == of(tokenizer).joined(piece, 0, 1)


def test_the_best_path_is_settled_where_all_agree() -> None:
    ends = ["", "a", "b", "ab", "ba", "x", "bab"]

    assert check_settled(PAIRS, "xab" * 60, ends) > 90
    assert check_settled(PAIRS, "abc" * 60, ends) > 90


def test_equally_good_paths_settle_nothing() -> None:
    """Three dots cost as much as three of one: which are the three is up to rounding."""
    tokenizer = unigram_of(**{".": -2.0, "...": -3.0})

    settled = check_settled(tokenizer, "." * 301, ["." * count for count in range(7)])

    assert settled < 101
    assert 0 == of(tokenizer).joined(piece_of(tokenizer, "." * 301), 0, 1)


def test_the_last_tokens_of_a_path_are_joined_where_no_other_is_as_good() -> None:
    begins = ["", "a", "ab", "c", "x", "bb"]

    for text in ("xab" * 60, "abc" * 60):
        assert check_joined(PAIRS, begins, text, wanted=100) >= 100
        assert 0 == check_joined(PAIRS, begins, text, wanted=120)


@pytest.mark.parametrize("seed", range(20))
def test_letters_of_unigram_are_settled_and_joined(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secrets
    text = "".join(draw.choices("abcx", k=400))
    others = ["".join(draw.choices("abcx", k=draw.randint(0, 20))) for _ in range(20)]
    count = len(piece_of(PAIRS, text).ids)

    assert check_settled(PAIRS, text, others) > count - 40
    assert check_joined(PAIRS, others, text, wanted=200) >= 200
    assert check_joined(PAIRS, others, text, wanted=count - 20) >= count - 20


def test_no_more_of_a_path_is_gone_through_than_is_wanted() -> None:
    """What is far before the tokens that are wanted may be as doubtful as it likes."""
    tokenizer = unigram_of(**{"a": -1.0, ".": -2.0, "...": -3.0})
    text = "." * 301 + "a" * 300

    assert check_joined(tokenizer, [], text, wanted=200) >= 200
    assert 0 == check_joined(tokenizer, [], text, wanted=350)


def test_unknown_characters_at_an_end_may_have_more_beside_them() -> None:
    piece = piece_of(PAIRS, "x" * 100 + "?" * 300)
    assert 100 == check_settled(PAIRS, "x" * 100 + "?" * 300, ["", "?", "x"])

    piece = piece_of(PAIRS, "?" * 300 + "x" * 100)
    assert 100 == check_joined(PAIRS, ["", "?", "x"], "?" * 300 + "x" * 100, wanted=100)
    assert 101 == len(piece.ids)


def test_of_unigram_with_bytes_nothing_is_certain() -> None:
    bytes_ = {f"<0x{byte:02X}>": -9.0 for byte in range(256)}
    vocabulary = [("[UNK]", -9.0), ("a", -1.0), *bytes_.items()]
    tokenizer = Tokenizer(models.Unigram(vocabulary, 0, True))

    assert 0 == of(tokenizer).settled(piece_of(tokenizer, "a" * 200 + "?" + "a" * 200))
    assert 0 == of(tokenizer).joined(piece_of(tokenizer, "a" * 200 + "?" + "a" * 200), 0, 1)


def test_no_more_than_the_ends_of_a_long_piece_are_looked_at() -> None:
    """A token that is not near does not make what is near less certain."""
    tokenizer = bpe_of("a a", "aa aa", "aaaa aaaa", "b b")
    far = "a" * (2 * LOOK_CHARACTERS)

    assert check_settled(tokenizer, far + "cb" * 400, ["b", "bb", "c"]) > 780
