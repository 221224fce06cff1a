"""Whether texts may be cut into segments, tried at an export."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from export.cut_texts import short_texts, why_uncut
from export.steps.tokenization.asking import ID_BYTES, Asking
from export.steps.tokenization.blocks import Blocks
from export.steps.tokenization.reading import Slices
from tests.checkpoints import byte_bpe, unigram, wordpiece
from tests.export.steps.tokenization.kinds import cut_bpe, one_piece_bpe


def why(tokenizer: Tokenizer, folder: Path, max_length: int = 512) -> str:
    tokenizer.save(str(folder / "tokenizer.json"))
    return why_uncut(folder / "tokenizer.json", max_length, ["[SEP]", "[MASK]"])


@pytest.mark.parametrize("make", [wordpiece, byte_bpe, unigram, cut_bpe])
def test_texts_of_ordinary_tokenizers_may_be_cut(
    make: Callable[[], Tokenizer], tmp_path: Path
) -> None:
    assert "" == why(make(), tmp_path)


def test_of_others_it_is_said_why_not(tmp_path: Path) -> None:
    assert "a token of its vocabulary reaches" in why(one_piece_bpe(), tmp_path)


def test_one_wrong_id_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Patched because no tokenizer is known that may be cut and gives other ids then.
    right = Asking.ids

    def wrong(self: Asking, segments: Sequence[bytes]) -> dict[bytes, bytes]:
        found = right(self, segments)
        return {key: row[ID_BYTES:] if b"Stra" in key else row for key, row in found.items()}

    monkeypatch.setattr(Asking, "ids", wrong)
    assert "its ids are others" in why(wordpiece(), tmp_path)


@pytest.mark.parametrize("method", ["end", "count"])
def test_a_wrong_block_is_noticed(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patched for the same reason.
    right = getattr(Blocks, method)

    def wrong(self: Blocks, *arguments: object) -> Slices[object]:
        found = yield from right(self, *arguments)
        return found and (found[::-1] if method == "end" else found + 1)

    monkeypatch.setattr(Blocks, method, wrong)
    assert "its ids are others" in why(wordpiece(), tmp_path)


def test_they_are_the_same_each_time_with_added_tokens_among_them() -> None:
    texts = list(short_texts(["<one>", "<two>"]))
    assert texts == list(short_texts(["<one>", "<two>"]))
    assert 50 < sum("<one>" in text for text in texts) < len(texts) / 2
    assert len(texts) == len(list(short_texts([])))


def test_a_short_limit_is_kept(tmp_path: Path) -> None:
    assert "" == why(wordpiece(), tmp_path, max_length=8)
