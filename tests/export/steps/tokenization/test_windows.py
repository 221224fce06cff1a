"""Windows against whole texts: the first ids, the last, and how many there are."""

import random

import pytest
from tokenizers import Tokenizer, models, normalizers

from export.steps.tokenization.reading import Slices
from export.steps.tokenization.windows import Windows
from tests.export.steps.tokenization.kinds import KINDS, Counting, run, scored_unigram, whole_ids
from tests.export.steps.tokenization.texts import hard_text

Made = tuple[Tokenizer, Windows]


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest) -> Made:
    tokenizer = KINDS[request.param]()
    windows = Windows(tokenizer)
    assert windows.are_possible
    return tokenizer, windows


def check(made: Made, text: str, count: int) -> None:
    tokenizer, windows = made
    data, ids = text.encode(), whole_ids(tokenizer, text)
    assert ids[:count] == run(windows.first(data, count))
    assert ids[-count:] == run(windows.last(data, count))
    assert len(ids) == run(windows.count(data, slice_bytes=700))


@pytest.mark.parametrize("seed", range(12))
def test_hard_texts(made: Made, seed: int) -> None:
    check(made, hard_text(seed, 4000), count=1 + 7 * seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1120))
def test_many_hard_texts(made: Made, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secrets
    check(made, hard_text(seed, draw.choice((300, 3000, 20_000))), draw.choice((1, 3, 10, 60, 254)))


# What a text of 300 kB is made of.
REPEATED = {
    "words": "the baker, one two three again. ",
    "lines": "bread\ncrust\n",
    "dots": ".",
    "dashes": "-=",
    "blanks": " ",
    "ends-of-lines": " \n",
    "letter": "a",
    "marks": "\u0301",
    "family": "👩\u200d👩\u200d👧\u200d👦",
    "flags": "🇩🇪🇫🇷",
    "unknown": "龘",
    "json": '{"a":1,"b":[2.5,3]},',
}
LETTERS = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=300_000))  # noqa: S311
LONG = {name: part * (300_000 // len(part.encode())) for name, part in REPEATED.items()}
LONG |= {"letters": LETTERS, "ideographs": "".join(chr(0x4E00 + ord(c)) for c in LETTERS[:100_000])}


# Of unknown characters that do not repeat themselves no more can be known than by looking, nor of
# blanks that are tokens unless they end the text.
LOOKED_AT = {
    ("word-level", "letters"), ("word-level", "ideographs"), ("unigram", "ideographs"),
    ("collapsing-unigram", "ideographs"), ("collapsing-unigram", "ends-of-lines"),
}  # fmt: skip


@pytest.mark.parametrize("content", ["words", "dots", "blanks", "letter"])
@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe", "unigram"])
def test_a_long_text_costs_little(kind: str, content: str) -> None:
    assert characters_read(kind, LONG[content][:60_000]) < 25_000


@pytest.mark.slow
@pytest.mark.parametrize("content", LONG)
@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_of_all_kinds_cost_little(kind: str, content: str) -> None:
    """Where tokens have up to 40 characters, and what is left out is tried."""
    if (kind, content) not in LOOKED_AT:
        assert characters_read(kind, LONG[content]) < 50_000


def characters_read(kind: str, text: str) -> int:
    """Of the first and the last 254 tokens, the more."""
    tokenizer = KINDS[kind]()
    ids, counting = whole_ids(tokenizer, text), Counting(tokenizer)
    windows = Windows(counting)  # type: ignore[arg-type]
    counting.characters = 0
    assert ids[:254] == run(windows.first(text.encode(), 254))
    characters, counting.characters = counting.characters, 0
    assert ids[-254:] == run(windows.last(text.encode(), 254))
    return max(characters, counting.characters)


@pytest.mark.parametrize("content", LONG)
@pytest.mark.parametrize("kind", ["wordpiece", "grouped-bpe", "one-piece-bpe", "unigram"])
def test_a_text_is_counted_in_slices_that_hardly_overlap(kind: str, content: str) -> None:
    tokenizer, text = KINDS[kind](), LONG[content][:40_000]
    counting = Counting(tokenizer)
    windows = Windows(counting)  # type: ignore[arg-type]
    counting.characters = 0
    slices = windows.count(text.encode(), slice_bytes=2000)

    assert len(whole_ids(tokenizer, text)) == run(never_longer(slices))
    assert counting.characters < 2.1 * len(text)


def never_longer(slices: Slices[int]) -> Slices[int]:
    """The same; fails if one is announced as long."""
    while True:
        try:
            assert not next(slices)
        except StopIteration as end:
            count: int = end.value
            return count
        yield False


@pytest.mark.slow
@pytest.mark.parametrize("content", LONG)
def test_all_of_a_long_text_is_counted_in_slices(made: Made, content: str) -> None:
    tokenizer, windows = made
    text = LONG[content]
    slices = windows.count(text.encode())
    strips = isinstance(tokenizer.normalizer, normalizers.Sequence)  # blanks at the end
    if not isinstance(tokenizer.model, models.WordLevel) and not (strips and text.isspace()):
        slices = never_longer(slices)  # but for words and ends of blanks, which are whole

    assert len(whole_ids(tokenizer, text)) == run(slices)


def test_a_vocabulary_may_know_the_last_character_there_is() -> None:
    """Which is what is asked for to learn the token of unknown ones."""
    tokenizer = scored_unigram({"[UNK]": -14.0, "▁": -3.0, "a": -4.0, "\U0010ffff": -5.0})

    check((tokenizer, Windows(tokenizer)), "한" * 4000, count=60)
