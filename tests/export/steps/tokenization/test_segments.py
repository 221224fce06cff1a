"""Ids of texts from their segments, against those of whole texts."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from tokenizers import AddedToken, Tokenizer, models

from export.steps.tokenization.asking import Asking, packed
from export.steps.tokenization.cuts import Uncut, cuts_of
from export.steps.tokenization.segments import DENSE_BYTES, KEPT_BYTES, Segments
from tests.export.steps.tokenization.kinds import (
    CUT_KINDS,
    Counting,
    byte_bpe,
    unigram,
    whole_ids,
    wordpiece,
)
from tests.export.steps.tokenization.texts import PARTS, WORDS, hard_text

ROOM = 2**22


def mixtures(count: int) -> list[str]:
    """Words and what hurts, most of them with a blank behind."""
    draw = random.Random(0)  # noqa: S311 - no secrets
    return [
        "".join(
            draw.choice((*WORDS, *WORDS, *PARTS)) + draw.choice(("", " ", " ", "  ", "\n"))
            for _ in range(draw.randint(1, 10))
        )
        for _ in range(count)
    ]


TEXTS = [
    "", " ", "a", " a", "a ", "a  b", "a \n b", "a\n b", "\n", "the bread", "x [UNK] y", "[UNK]",
    "one <s> two", "<s>", "a [MASK] b <mask> c", "a \xb4b c", "a \u0301b", "a\u0301 b", "a \u200bb",
    "a ▁b", "f():\n    return x", "word " * 30, "面包 面包", "a " + "b" * 500 + " c",
    *mixtures(400), *(hard_text(seed, 150) for seed in range(60)),
]  # fmt: skip


def segments_of(tokenizer: Tokenizer | Counting, room: int = ROOM) -> Segments:
    return Segments(tokenizer, room, are_tireless=True)  # type: ignore[arg-type]


def rows(segments: Segments, texts: Sequence[str]) -> list[bytes]:
    return segments.rows([text.encode() for text in texts])


@pytest.mark.parametrize("kind", CUT_KINDS)
def test_the_ids_are_those_of_whole_texts(kind: str) -> None:
    """Asked for the first time and again, many at once and one by one."""
    tokenizer = CUT_KINDS[kind]()
    segments = segments_of(tokenizer)
    expected = [packed(whole_ids(tokenizer, text)) for text in TEXTS]
    for size in (len(TEXTS), 7, 1):
        for start in range(0, len(TEXTS), size):
            found = rows(segments, TEXTS[start : start + size])
            assert expected[start : start + size] == found


@pytest.mark.parametrize("kind", CUT_KINDS)
def test_a_text_whose_words_are_known_is_not_tokenized(kind: str) -> None:
    counting = Counting(CUT_KINDS[kind]())
    segments = segments_of(counting)
    first = rows(segments, ["the bread of the baker, again."])
    counting.characters = 0

    assert first == rows(segments, ["the bread of the baker, again."])
    rows(segments, ["the of bread the baker, again."])
    assert 0 == counting.characters


@pytest.mark.parametrize("kind", CUT_KINDS)
def test_new_words_are_asked_for_once_and_together(kind: str) -> None:
    """In a text of their own each would cost twice as much."""
    counting = Counting(CUT_KINDS[kind]())
    segments = segments_of(counting)
    counting.calls.clear()

    rows(segments, ["of Käse again. naïve", "of Käse again. again. naïve", "of again."])

    expected = 2 if cuts_of(counting).lead else 1  # type: ignore[arg-type]
    assert expected >= len(counting.calls)
    assert max(map(len, counting.calls)) == 1  # one text
    assert sum(text.count("again.") for call in counting.calls for text in call) == 1


def test_where_separators_cannot_be_told_apart_each_is_asked_for_alone() -> None:
    tokenizer = wordpiece()
    asking = Asking(tokenizer, cuts_of(tokenizer))
    separator = asking.separator
    upper = separator.upper()  # which is made the separator by the normalizer

    found = asking.ids([b"bread", upper.encode(), separator.encode(), b"\xe9\x9d\xa2"])

    assert {b"bread", upper.encode(), separator.encode(), "面".encode()} == set(found)
    assert all(packed(whole_ids(tokenizer, key.decode())) == found[key] for key in found)


def test_segments_with_an_added_token_depend_on_others() -> None:
    tokenizer = wordpiece()
    asking = Asking(tokenizer, cuts_of(tokenizer))
    assert {b"bread", b"of"} == set(asking.ids([b"bread", b"a[SEP]", b"of", b"[UNK]", b"x<s>"]))
    assert {} == asking.ids([])


def test_without_a_word_of_one_token_nothing_is_cut() -> None:
    tokenizer = unigram()
    tokenizer.model = models.Unigram([("[UNK]", -9.0), ("▁", -3.0), ("b", -4.0)], 0, False)
    with pytest.raises(Uncut, match="could part others"):
        segments_of(tokenizer)


def test_a_text_without_blanks_is_left_to_the_tokenizer() -> None:
    counting = Counting(wordpiece())
    segments = segments_of(counting)
    for length in (DENSE_BYTES, DENSE_BYTES + 1):
        rows(segments, ["a" * length])
        counting.characters = 0
        rows(segments, ["a" * length])
        assert (length > DENSE_BYTES) == bool(counting.characters)


def test_long_segments_are_not_kept() -> None:
    counting = Counting(byte_bpe())
    segments = segments_of(counting)
    for length in (KEPT_BYTES, KEPT_BYTES + 1):
        text = f"a b c {'x' * length} d e"
        rows(segments, [text])
        counting.characters = 0
        rows(segments, [text])
        assert (length > KEPT_BYTES) == bool(counting.characters)


def test_odd_blanks_are_not_kept() -> None:
    """What ends a text with a line's end is something else before a blank."""
    tokenizer = byte_bpe()
    segments = segments_of(tokenizer)
    for text in ("a b\n", "a b\n  c", "\nb a", "a \nb a", " b", "b", "a  b", ""):
        assert [packed(whole_ids(tokenizer, text))] == rows(segments, [text])


def test_most_new_segments_are_given_a_rest() -> None:
    counting = Counting(wordpiece())
    segments = Segments(counting, ROOM)  # type: ignore[arg-type]
    texts = [" ".join(f"w{number}x{word}" for word in range(50)) for number in range(200)]
    for text in texts:
        assert [packed(whole_ids(counting, text))] == rows(segments, [text])  # type: ignore[arg-type]
    assert segments.size_bytes < 200 * 50 * 100  # a few were kept


def test_what_is_forgotten_is_asked_for_again() -> None:
    tokenizer = byte_bpe()
    segments = segments_of(tokenizer, room=2**14)
    texts = [f"the bread w{number} of v{number}" for number in range(500)]
    for text in (*texts, *texts):
        assert [packed(whole_ids(tokenizer, text))] == rows(segments, [text])
        assert segments.size_bytes <= 2**14


def test_threads_share_what_is_known_while_it_is_forgotten() -> None:
    tokenizer = byte_bpe()
    segments = segments_of(tokenizer, room=2**14)
    groups = [[f"the bread w{number % 90} of v{number}", "of the bread"] for number in range(300)]
    expected = [[packed(whole_ids(tokenizer, text)) for text in group] for group in groups]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert expected == list(pool.map(lambda group: rows(segments, group), groups))


def test_a_segment_that_is_no_utf_8_fails() -> None:
    with pytest.raises(UnicodeDecodeError):
        segments_of(wordpiece()).rows([b"a \xff b"])


@pytest.mark.parametrize("make", [wordpiece, byte_bpe])
def test_an_added_token_that_takes_blanks_does_so(make: object) -> None:
    tokenizer = make()  # type: ignore[operator]
    tokenizer.add_tokens(
        [AddedToken("<m>", lstrip=True, rstrip=True), AddedToken("\n\n", normalized=False)]
    )
    segments = segments_of(tokenizer)
    for text in ("a <m> b", "a b <m>", "a\n\n b", "a \n\n b c"):
        assert [packed(whole_ids(tokenizer, text))] == rows(segments, [text])
