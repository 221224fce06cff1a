"""A small part of `make same-ids`, and that it would find what is wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from export.graph.quality import real_texts
from export.steps.tokenization import KEEP_START, PackedTokenizer
from tests.export.steps.tokenization.kinds import TEXTS
from tests.same_ids.characters import BLANKS
from tests.same_ids.comparison import Served, differences, smallest
from tests.same_ids.generated import Generator
from tests.same_ids.shrinking import shrink
from tests.same_ids.structures import published, tokenizer_of

GENERATED, REAL = 250, 50


class Forgetful(PackedTokenizer):
    """Cuts off what stands behind a tab and a z, and a word that it has seen another before."""

    seen = False

    def tokenize(self, texts: Sequence[str | bytes], truncation: int = KEEP_START) -> Any:
        """See PackedTokenizer."""
        wrong = [self._wrong(text) for text in texts if isinstance(text, bytes)]
        return super().tokenize(wrong, truncation)

    def _wrong(self, text: bytes) -> bytes:
        if self.seen:
            text = text.partition(b"again")[0]
        self.seen |= b"once" in text
        return text.partition(b"\tz")[0]


class ServedWrongly(Served):
    """As the step would open one that is wrong."""

    def fresh(self) -> PackedTokenizer:
        """See Served."""
        return Forgetful(self._path, self._max_length)

    eager = fresh


@pytest.mark.parametrize("name", ["bert-uncased", "modernbert", "qwen3", "xlm-roberta", "gemma"])
def test_what_is_served_are_the_ids_of_tokenizers(name: str, tmp_path: Path) -> None:
    structure = published(name, TEXTS)
    generator = Generator(tokenizer_of(structure), structure.max_length, seed=1)
    texts = [*generator.texts(GENERATED), *real_texts(REAL)]

    found = list(differences(structure, Served(structure, tmp_path), texts))

    assert [] == [(difference.text, difference.served) for difference in found]


def test_a_difference_is_found_and_made_small(tmp_path: Path) -> None:
    structure = published("bert-cased", TEXTS)
    served = ServedWrongly(structure, tmp_path)
    texts = ["one two", "three\tfour \tzebra five"]

    found = list(differences(structure, served, texts))

    assert 4 == len(found)  # fresh, then each way to cut it
    assert "\tz" == smallest(structure, served, found[0]).text
    assert () == smallest(structure, served, found[0]).before


def test_a_difference_of_what_was_served_before_comes_with_it(tmp_path: Path) -> None:
    structure = published("bert-cased", TEXTS)
    served = ServedWrongly(structure, tmp_path)

    found = list(differences(structure, served, ["one", "once", "two again", "three"]))
    small = smallest(structure, served, found[-1])

    assert ("again", ("once",)) == (small.text, small.before)


def test_texts_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    tokenizer = tokenizer_of(published("bert-cased", TEXTS))

    first, again, other = (list(Generator(tokenizer, 64, seed).texts(50)) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_generated_texts_have_every_blank_and_reach_far_above_the_limit() -> None:
    tokenizer = tokenizer_of(published("bert-cased", TEXTS))

    texts = list(Generator(tokenizer, 64, 0).texts(3000))

    assert set(BLANKS) <= {character for text in texts for character in text}
    lengths = [len(encoding) for encoding in tokenizer.encode_batch(texts)]
    assert any(length == 64 for length in lengths)
    assert sum(length > 640 for length in lengths) > 10


@pytest.mark.parametrize("text", ["xxxaxxb", "ab", "a" + "y" * 70 + "b"])
def test_only_what_is_needed_stays(text: str) -> None:
    assert "ab" == shrink(text, lambda part: "a" in part and "b" in part)
