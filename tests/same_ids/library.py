"""One other library against `tokenizers`, in an environment that has both: ids and CPU.

python -m tests.same_ids.library LIBRARY FOLDER NAME COUNT SEED

FOLDER/NAME.json is a tokenizer, FOLDER/real.json the real texts by language. Prints a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from tokenizers import Tokenizer

from tests.same_ids.generated import Generator

CALLS = (1, 2, 7, 64)  # texts
LANGUAGES = {"English": ("English",), "zh/ja": ("Chinese", "Japanese")}

Ids: TypeAlias = list[list[int]]
Encode: TypeAlias = Callable[[list[str]], Ids]


def main(library: str, folder: Path, name: str, count: int, seed: int) -> dict[str, Any]:
    """Why the library does not read it; or how many texts differ, and µs of CPU a text."""
    path = folder / f"{name}.json"
    tokenizer = Tokenizer.from_file(str(path))
    real = json.loads((folder / "real.json").read_text())
    generated = list(Generator(tokenizer, 64, seed).texts(count))
    ours = ENCODERS["tokenizers"](path)
    try:
        theirs = ENCODERS[library](path)
    except Exception as error:  # of whatever kind the library raises
        return {"refuses": str(error)[:80]}
    times = {}
    for label, languages in LANGUAGES.items():
        texts = [text for one in languages for text in real[one]]
        before, timed = texts[::2], texts[1::2]
        _microseconds(theirs, before)
        times[f"{label}, new"] = _microseconds(theirs, timed)
        times[f"{label}, again"] = _microseconds(theirs, timed)
    everything = [text for texts in real.values() for text in texts]
    return {
        "generated": _different(ours, theirs, generated),
        "real": _different(ours, theirs, everything),
        **times,
    }


def _different(ours: Encode, theirs: Encode, texts: Sequence[str]) -> int:
    """How many of the texts, in calls of many sizes."""
    found, rest, calls = 0, iter(texts), 0
    while call := list(islice(rest, CALLS[calls % len(CALLS)])):
        calls += 1
        found += sum(a != b for a, b in zip(ours(call), theirs(call), strict=True))
    return found


def _microseconds(encode: Encode, texts: Sequence[str]) -> float:
    """CPU a text, in calls of 64."""
    started = time.process_time()
    for start in range(0, len(texts), CALLS[-1]):
        encode(list(texts[start : start + CALLS[-1]]))
    return round((time.process_time() - started) / len(texts) * 1e6, 1)


def _tokenizers(path: Path) -> Encode:
    tokenizer = Tokenizer.from_file(str(path))
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]


def _budtiktok(path: Path) -> Encode:
    import budtiktok

    tokenizer = budtiktok.Tokenizer.from_file(str(path))
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def _fastokens(path: Path) -> Encode:
    import fastokens

    tokenizer = fastokens.Tokenizer.from_json_str(path.read_text())
    return lambda texts: [list(row.ids) for row in tokenizer.encode_batch(texts)]


def _kitoken(path: Path) -> Encode:
    import kitoken

    tokenizer = kitoken.Kitoken.from_tokenizers_file(str(path))
    return lambda texts: tokenizer.encode_all(texts, True)


def _morpheme(path: Path) -> Encode:
    import morpheme

    tokenizer = morpheme.Tokenizer.from_file(str(path))
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def _nanotoken(path: Path) -> Encode:
    import nanotoken

    tokenizer = nanotoken.Tokenizer(str(path))
    return lambda texts: tokenizer.encode_batch_list(texts, parallel=False)


ENCODERS: dict[str, Callable[[Path], Encode]] = {
    "tokenizers": _tokenizers,
    "budtiktok": _budtiktok,
    "fastokens": _fastokens,
    "kitoken": _kitoken,
    "morpheme": _morpheme,
    "nanotoken": _nanotoken,
}

if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    made_for, place, called, *numbers = sys.argv[1:]
    print(json.dumps(main(made_for, Path(place), called, *map(int, numbers))))
