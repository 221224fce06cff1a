"""Texts on which windows are tried at an export, and what is found with them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from export.long_texts import (
    CHARACTERS,
    MAX_LENGTH,
    RUN_MAX_LENGTH,
    long_runs,
    long_texts,
    windows_hold,
)
from export.steps.tokenization.folding import Folding
from export.steps.tokenization.packed import WHOLE_BYTES, PackedTokenizer
from export.steps.tokenization.reading import Slices
from export.steps.tokenization.windows import Windows
from tests.checkpoints import byte_bpe, unigram, wordpiece
from tests.export.steps.tokenization.kinds import SCORES, right_aligned_bpe, scored_unigram


@pytest.mark.parametrize("make", [wordpiece, byte_bpe, unigram])
def test_windows_of_ordinary_tokenizers_hold(make: Callable[[], Tokenizer], tmp_path: Path) -> None:
    make().save(str(tmp_path / "tokenizer.json"))

    assert windows_hold(tmp_path / "tokenizer.json", 512, ["[SEP]", "[MASK]"])


def test_those_of_others_do_not(tmp_path: Path) -> None:
    right_aligned_bpe().save(str(tmp_path / "tokenizer.json"))

    assert not windows_hold(tmp_path / "tokenizer.json", 512, [])


@pytest.mark.parametrize("method", ["first", "last", "count"])
def test_one_wrong_token_is_noticed(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patched because no tokenizer is known of which windows would be wrong without knowing it.
    right = getattr(Windows, method)

    def wrong(self: Windows, *arguments: object) -> Slices[Any]:
        found = yield from right(self, *arguments)
        return found + 1 if method == "count" else found[::-1]

    monkeypatch.setattr(Windows, method, wrong)
    wordpiece().save(str(tmp_path / "tokenizer.json"))

    assert not windows_hold(tmp_path / "tokenizer.json", 512, [])


@pytest.mark.parametrize("method", ["first", "last"])
def test_a_run_that_is_gone_through_wrongly_is_noticed(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patched for the same reason.
    right = getattr(Folding, method)

    def wrong(self: Folding, *arguments: object) -> Slices[Any]:
        found = yield from right(self, *arguments)
        return found and [0, *found, 0]

    monkeypatch.setattr(Folding, method, wrong)
    scored_unigram(SCORES).save(str(tmp_path / "tokenizer.json"))

    assert not windows_hold(tmp_path / "tokenizer.json", 512, [])


def test_runs_are_read_in_windows() -> None:
    assert all(len(text) > WHOLE_BYTES * RUN_MAX_LENGTH for text in long_runs())


def test_all_texts_are_read_in_windows() -> None:
    texts = list(long_texts([]))

    assert all(len(text.encode()) > WHOLE_BYTES * MAX_LENGTH for text in texts)
    assert all(CHARACTERS * 0.99 < len(text) < CHARACTERS + 150 * 40 for text in texts)
    assert len(texts) > 100


def test_they_are_the_same_each_time() -> None:
    added = [f"<{number}>" for number in range(100)]

    assert list(long_texts(added)) == list(long_texts(added))


def test_added_tokens_are_among_them() -> None:
    joined = "".join(long_texts(["<one>", "<two>"]))

    assert "<one><one>" in joined
    assert joined.count("<two>") > 1000


def test_a_short_limit_is_kept(tmp_path: Path) -> None:
    wordpiece().save(str(tmp_path / "tokenizer.json"))

    assert windows_hold(tmp_path / "tokenizer.json", 8, [])
    assert PackedTokenizer(tmp_path / "tokenizer.json", 8).has_windows
