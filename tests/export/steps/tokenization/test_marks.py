"""Which characters change places, and which tokenizers make them."""

import pytest
from tokenizers import Tokenizer, models, normalizers

from export.steps.tokenization.marks import bears_mark, is_mark, sorts_marks


@pytest.mark.parametrize(
    "character", ["\u0301", "\u0323", "\u0345", "\u302e", "\u0378", "\U000e0fff"]
)
def test_marks_and_what_may_be_one(character: str) -> None:
    assert is_mark(character)
    assert bears_mark(character)


@pytest.mark.parametrize("character", ["", "a", " ", "面", "🍞", "\u200d", "\u093f"])
def test_others_stay_where_they_are(character: str) -> None:
    assert not is_mark(character)
    assert not bears_mark(character)


@pytest.mark.parametrize("character", ["é", "İ", "ǭ", "ﾊﾟ"[1], "\u1e9b"])
def test_what_has_a_mark_in_itself(character: str) -> None:
    assert bears_mark(character)


@pytest.mark.parametrize(
    ("normalizer", "sorts"),
    [
        (None, False),
        (normalizers.Lowercase(), False),
        (normalizers.BertNormalizer(lowercase=False), False),
        (normalizers.BertNormalizer(), True),
        (normalizers.NFC(), True),
        (normalizers.NFD(), True),
        (normalizers.Sequence([normalizers.Lowercase(), normalizers.NFKC()]), True),
    ],
)
def test_normal_forms_sort(normalizer: normalizers.Normalizer | None, sorts: bool) -> None:
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer

    assert sorts == sorts_marks(tokenizer)
