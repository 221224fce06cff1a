"""What a text far above the limit costs: `python -m load_tests.bench.tokenizing`.

Three kinds of tokenizers, contents that are known to hurt, the first tokens and the last: CPU
milliseconds of 1 MB and of 31 MB, how many times those of a text of the same content that just
reaches the limit, and whether the ids are those of the whole text, and their number with `none`.

Windows alone are measured: where segments are looked up, texts of words cost less.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from export.checkpoint import DEFAULT_CHECKPOINT, resolve
from export.graph.quality import real_texts
from export.steps.tokenization import (
    KEEP_END,
    KEEP_START,
    REFUSE,
    InputTooLong,
    PackedTokenizer,
)
from load_tests.payloads import LONG, take, texts

LIMIT = 512
MB = 1_000_000  # bytes
WORDS = "words"
VOCABULARY = 8000
REPEATS = 7
TRAINED_ON = 4000  # paragraphs
NOT_SEEN = "unknown"  # letters that no tokenizer here has met, one word without end
CONTENTS = {
    "dots": ".",
    "blanks": " ",
    "one letter": "a",
    "one word": "bread",
    "digits": "1234567890",
    "marks": "\u0301",
    "emoji": "👩\u200d👩\u200d👧\u200d👦",
    NOT_SEEN: "面包师傅很好吃",
    "JSON": '{"a": 1, "b": [2.5, 3]}, ',
}


def wordpiece(_: Sequence[str]) -> Tokenizer:
    """Of the default checkpoint."""
    path = resolve(DEFAULT_CHECKPOINT).folder / "tokenizer.json"
    return Tokenizer.from_file(str(path))


def byte_bpe(paragraphs: Sequence[str]) -> Tokenizer:
    """As RoBERTa has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(tokenizer, trainers.BpeTrainer, paragraphs, initial_alphabet=alphabet)


def unigram(paragraphs: Sequence[str]) -> Tokenizer:
    """As XLM-RoBERTa has."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return _trained(tokenizer, trainers.UnigramTrainer, paragraphs, unk_token="<unk>")  # noqa: S106 - a token, no secret


KINDS = {"WordPiece": wordpiece, "byte-level BPE": byte_bpe, "Unigram": unigram}


def _trained(
    tokenizer: Tokenizer, trainer: Callable[..., Any], paragraphs: Sequence[str], **options: Any
) -> Tokenizer:
    options |= {"vocab_size": VOCABULARY, "special_tokens": ["<unk>"], "show_progress": False}
    runs = [part * 24 for part in CONTENTS.values() if part != CONTENTS[NOT_SEEN]]
    tokenizer.train_from_iterator([*paragraphs, *runs * 8], trainer(**options))
    return tokenizer


def contents() -> Iterator[tuple[str, bytes]]:
    """Name and part to repeat; of words as many as never repeat within a window."""
    yield WORDS, " ".join(take(40, texts(LONG, "tokenizing"))).encode()
    for name, part in CONTENTS.items():
        yield name, part.encode()


def of_size(part: bytes, size: int) -> bytes:
    """Whole repetitions, at least so many bytes."""
    return part * -(-size // len(part))


def at_limit(tokenizer: PackedTokenizer, part: bytes) -> bytes:
    """The shortest text of this content that has as many tokens as the limit, if there is one."""
    text = of_size(part, MB).decode()
    low, high = 1, 64 * LIMIT
    while low < high:
        middle = (low + high) // 2
        if len(tokenizer.tokenize([text[:middle]])[0]) < LIMIT:
            low = middle + 1
        else:
            high = middle
    return text[:low].encode()


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds, the median of some repeats, at least two milliseconds each."""
    started, times = time.process_time(), 0
    while times < 3 or time.process_time() - started < 0.002:
        work()
        times += 1
    taken = [(time.process_time() - started) / times]
    for _ in range(REPEATS - 1 if taken[0] < 0.5 else 0):
        started = time.process_time()
        for _ in range(times):
            work()
        taken.append((time.process_time() - started) / times)
    return statistics.median(taken)


class Row:
    """One content, given to one tokenizer."""

    def __init__(self, path: Path, part: bytes) -> None:
        self.windows = PackedTokenizer(path, LIMIT)
        self.whole = PackedTokenizer(path, LIMIT, windows=False)
        self.part = part
        least = at_limit(self.windows, part)
        self.least = {way: self._seconds(least, way) for way in (KEEP_START, KEEP_END)}

    def cells(self) -> Iterator[str]:
        yield f"{1000 * self.least[KEEP_START]:.2f}"
        yield from (self._cost(MB, way) for way in (KEEP_START, KEEP_END))
        yield from (self._cost(31 * MB, way) for way in (KEEP_START, KEEP_END))
        text = of_size(self.part, MB)
        yield f"{1000 * self._seconds(text, REFUSE):.0f}"
        ways = (KEEP_START, KEEP_END, REFUSE)
        same = all(ids(self.windows, text, way) == ids(self.whole, text, way) for way in ways)
        yield "yes" if same else "NO"

    def _cost(self, size: int, truncation: int) -> str:
        """Milliseconds, and how many times those of a text at the limit."""
        taken = self._seconds(of_size(self.part, size), truncation)
        return f"{1000 * taken:.2f} ({taken / self.least[truncation]:.1f})"

    def _seconds(self, text: bytes, truncation: int) -> float:
        return seconds(lambda: ids(self.windows, text, truncation))


def ids(tokenizer: PackedTokenizer, text: bytes, truncation: int) -> list[int]:
    """Of one text, or how many it has where that is refused."""
    try:
        return tokenizer.tokenize([text], truncation)[0].tolist()
    except InputTooLong as error:
        return [length for _, length in error.overflows]


HEADER = (
    "| tokenizer | content | at the limit, ms | 1 MB, first | last | 31 MB, first | last"
    " | 1 MB, all counted | ids equal |\n| --- | --- |" + " ---: |" * 6 + " --- |"
)


def main() -> None:
    """Prints a table in Markdown, row by row."""
    paragraphs = real_texts(TRAINED_ON)
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, make in KINDS.items():
            path = Path(folder) / "tokenizer.json"
            make(paragraphs).save(str(path))
            for content, part in contents():
                print("|", " | ".join([name, content, *Row(path, part).cells()]), "|", flush=True)


if __name__ == "__main__":
    main()
