"""Packed token ids: truncation at either end, refusal, and what tokenizers themselves give."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from export.steps.tokenization import KEEP_END, KEEP_START, REFUSE, InputTooLong, PackedTokenizer
from tests.checkpoints import wordpiece

CLS, SEP = 2, 3


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer = wordpiece()
    tokenizer.enable_padding()
    tokenizer.enable_truncation(7)  # as checkpoints carry them; neither is ours
    tokenizer.save(str(path))
    return path


def test_all_texts_come_one_after_the_other_without_padding(path: Path) -> None:
    texts = ["one two three", "", "seven"]

    input_ids, seq_lens = PackedTokenizer(path, 64).tokenize(texts)

    expected = [Tokenizer.from_file(str(path)).encode(text).ids for text in texts]
    assert [id for row in expected for id in row] == input_ids.tolist()
    assert [5, 2, 3] == seq_lens.tolist()
    assert ["int64", "int32"] == [input_ids.dtype.name, seq_lens.dtype.name]


@pytest.mark.parametrize(
    ("truncation", "kept"), [(KEEP_START, "one two three"), (KEEP_END, "three four five")]
)
def test_a_long_text_loses_its_other_end_and_keeps_the_special_tokens(
    path: Path, truncation: int, kept: str
) -> None:
    tokenizer = PackedTokenizer(path, 5)

    found, seq_lens = tokenizer.tokenize(["one two three four five"], truncation)

    assert [5] == seq_lens.tolist()
    assert (CLS, SEP) == (found[0], found[-1])
    assert found.tolist() == tokenizer.tokenize([kept])[0].tolist()


def test_refusal_names_every_text_above_the_limit_with_all_its_tokens(path: Path) -> None:
    tokenizer = PackedTokenizer(path, 5)

    with pytest.raises(InputTooLong) as error:
        tokenizer.tokenize(["one two three four", "one two three", "one " * 8], REFUSE)

    assert [(0, 6), (2, 10)] == error.value.overflows
    assert 5 == error.value.max_length


def test_a_text_exactly_at_the_limit_is_not_refused(path: Path) -> None:
    assert [5] == PackedTokenizer(path, 5).tokenize(["one two three"], REFUSE)[1].tolist()
