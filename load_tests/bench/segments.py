"""What looking up words costs and holds: `python -m load_tests.bench.segments --soak 600`.

CPU microseconds a text of the default checkpoint's tokenizer, without segments, with none
known yet and with all known. With `--soak`, for so many seconds, texts whose words never repeat
beside texts of words that do: resident memory and what the segments say that they hold.
"""

import argparse
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from export.checkpoint import DEFAULT_CHECKPOINT, resolve
from export.graph.quality import real_texts
from export.steps.tokenization import PackedTokenizer
from load_tests.payloads import equal, take, texts

LIMIT = 512
MIB = 32  # as exported
TEXTS, CALL_TEXTS = 2048, 64
ROUNDS = 5
LETTERS = "abcdefghijklmnopqrstuvwxyz"
IDEOGRAPHS = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生"
WORDS_A_TEXT, REPEATED_CALLS = 45, 4  # calls of known words for each of new ones
ROWS = 20  # of the soak


def tokenizer(segments_mib: int) -> PackedTokenizer:
    path = resolve(DEFAULT_CHECKPOINT).folder / "tokenizer.json"
    return PackedTokenizer(path, LIMIT, segments_mib=segments_mib)


def new_words(seed: int) -> Iterator[str]:
    """Texts of words that hardly any other text has."""
    draw = random.Random(seed)  # noqa: S311 - payloads, not secrets
    while True:
        words = ("".join(draw.choices(LETTERS, k=9)) for _ in range(WORDS_A_TEXT))
        yield " ".join(words)


def without_blanks() -> Iterator[str]:
    draw = random.Random(0)  # noqa: S311 - payloads, not secrets
    while True:
        yield "".join(draw.choices(IDEOGRAPHS, k=90))


def corpora() -> dict[str, list[str]]:
    return {
        "12 tokens": take(TEXTS, texts(equal(10), "segments")),
        "65 tokens": take(TEXTS, texts(equal(63), "segments")),
        "500 tokens": take(TEXTS // 8, texts(equal(498), "segments")),
        "docstrings": real_texts(TEXTS),
        "new words": take(TEXTS, new_words(0)),
        "no blanks": take(TEXTS, without_blanks()),
    }


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def tokenize(served: PackedTokenizer, corpus: Sequence[str]) -> None:
    for start in range(0, len(corpus), CALL_TEXTS):
        served.tokenize(corpus[start : start + CALL_TEXTS])


def costs() -> Iterator[str]:
    """A row a corpus, of the least of some rounds; each way in each round."""
    yield "| texts | tokenizers, us a text | none known | all known |\n| --- | ---: | ---: | ---: |"
    for name, corpus in corpora().items():
        whole, found = tokenizer(0), []
        for _ in range(ROUNDS):
            cut = tokenizer(MIB)
            ways = (whole, cut, cut)
            found.append([seconds(partial(tokenize, way, corpus)) for way in ways])
        least = (1e6 * min(times) / len(corpus) for times in zip(*found, strict=True))
        yield f"| {name} | {' | '.join(f'{time:.1f}' for time in least)} |"


def resident_mib() -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def soak(length: float) -> Iterator[str]:
    """Rows of seconds, texts so far, resident MiB, MiB of segments."""
    yield "| s | texts | resident, MiB | segments, MiB |\n| ---: | ---: | ---: | ---: |"
    served, new = tokenizer(MIB), new_words(1)
    known, count = take(CALL_TEXTS, texts(equal(63), "soak")), 0
    started = time.monotonic()
    for row in range(1, ROWS + 1):
        while time.monotonic() - started < row * length / ROWS:
            tokenize(served, take(CALL_TEXTS, new))
            tokenize(served, known * REPEATED_CALLS)
            count += CALL_TEXTS * (1 + REPEATED_CALLS)
        size = served.segments_bytes / 2**20
        yield f"| {row * length / ROWS:.0f} | {count} | {resident_mib():.1f} | {size:.1f} |"


def main() -> None:
    """Prints tables in Markdown, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--soak", type=float, default=0, help="seconds")
    given = parser.parse_args()
    for line in soak(given.soak) if given.soak else costs():
        print(line, flush=True)


if __name__ == "__main__":
    main()
