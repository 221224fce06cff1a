"""The payloads: seeded, unique, of the stated lengths."""

import statistics

import pytest

from load_tests.payloads import CORPUS, LONG, QUESTIONS, WORDS, Lengths, equal, take, texts

COUNT = 4000


def word_counts(lengths: Lengths) -> list[int]:
    return [len(text.split()) for text in take(COUNT, texts(lengths, "words"))]


def test_the_words_differ() -> None:
    assert len(WORDS) == len(set(WORDS))


def test_a_seed_gives_the_same_texts_again() -> None:
    assert take(50, texts(CORPUS, "a")) == take(50, texts(CORPUS, "a"))


def test_another_seed_gives_other_texts() -> None:
    assert not {*take(500, texts(CORPUS, "a"))} & {*take(500, texts(CORPUS, "b"))}


@pytest.mark.parametrize("lengths", [CORPUS, QUESTIONS, LONG, equal(2)])
def test_no_text_comes_twice(lengths: Lengths) -> None:
    assert len(set(take(COUNT, texts(lengths, "unique")))) == COUNT


def test_the_corpus_has_its_stated_lengths() -> None:
    counts = word_counts(CORPUS)
    assert 43 < statistics.median(counts) < 49
    assert 58 < statistics.mean(counts) < 66
    assert (min(counts), max(counts)) == (6, 240)


def test_questions_are_short() -> None:
    counts = word_counts(QUESTIONS)
    assert statistics.median(counts) == 10
    assert min(counts) >= 6
    assert max(counts) <= 16


def test_equal_texts_are_equally_long() -> None:
    assert set(word_counts(equal(30))) == {30}
