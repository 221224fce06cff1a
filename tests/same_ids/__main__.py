"""Whether the tokenizer step serves the ids that `tokenizers` itself gives, for each structure.

python -m tests.same_ids --generated 100000 --real 20000 --seed 0
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers.utils import logging

from tests.same_ids.comparison import TRUNCATIONS, Difference, Served, differences, smallest
from tests.same_ids.corpora import FOLDER, corpora
from tests.same_ids.generated import Generator
from tests.same_ids.structures import Structure, structures, tokenizer_of

SHOWN = 3  # differences of a structure that are made small and printed


@dataclass(frozen=True, slots=True)
class Result:
    """Of one structure; seconds of CPU."""

    structure: Structure
    engine: str
    generated: int
    real: int
    different: int
    shown: tuple[Difference, ...]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; exit code 1 if any ids differ."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a process is a core
    options = _parser().parse_args(arguments)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    chosen = structures(options.only)
    if not chosen:
        names = " ".join(structure.names[0] for structure in structures(""))
        print(f"no structure has {options.only!r} in a name; there are {names}", file=sys.stderr)
        return 1
    real = [text for texts in corpora(options.real).values() for text in texts]
    print(f"{len(real)} real texts, seed {options.seed}", flush=True)
    print(f"{'structure':34}{'engine':28}{'generated':>10}{'real':>8}{'different':>10}{'CPU s':>7}")
    work = partial(_examine, real=real, count=options.generated, seed=options.seed)
    wrong = 0
    with ProcessPoolExecutor(options.processes) as pool:
        for result in pool.map(work, chosen):
            _print(result)
            wrong += bool(result.different)
    print(f"{len(chosen)} structures, {wrong} with differences")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.same_ids", description=__doc__)
    parser.add_argument("--generated", type=int, default=100_000, help="texts of each structure")
    parser.add_argument("--real", type=int, default=20_000, help="texts of each structure")
    parser.add_argument("--seed", type=int, default=0, help="of the generated texts")
    parser.add_argument("--only", default="", help="structures with this in a name")
    parser.add_argument("--processes", type=int, default=2)
    return parser


def _examine(structure: Structure, real: Sequence[str], count: int, seed: int) -> Result:
    started = time.process_time()
    generator = Generator(tokenizer_of(structure), structure.max_length, seed)
    texts = [*generator.texts(count), *real]
    with TemporaryDirectory() as place:
        served = Served(structure, Path(place))
        found = list(differences(structure, served, texts))
        shown = [smallest(structure, served, difference) for difference in _various(found)]
        engine = served.engine
    return Result(
        structure,
        engine,
        count,
        len(real),
        len({difference.text for difference in found}),
        tuple(shown),
        time.process_time() - started,
    )


def _various(found: Sequence[Difference]) -> list[Difference]:
    """The shortest, of different texts."""
    texts = {difference.text: difference for difference in reversed(found)}
    return sorted(texts.values(), key=lambda difference: len(difference.text))[:SHOWN]


def _print(result: Result) -> None:
    print(
        f"{result.structure.name:34}{result.engine:28}{result.generated:10}{result.real:8}"
        f"{result.different:10}{result.seconds:7.0f}",
        flush=True,
    )
    if result.different:
        kept = FOLDER / f"{result.structure.names[0]}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(result.structure.tokenizer_json, encoding="utf-8")
        print(f"  its tokenizer: {kept}, {result.structure.max_length} tokens")
    for difference in result.shown:
        print(f"  {difference.text!a}, {TRUNCATIONS[difference.truncation]}")
        if difference.before:
            print(f"    after {difference.before!a}")
        print(f"    tokenizers {difference.expected}\n    served     {difference.served}")


if __name__ == "__main__":
    sys.exit(main())
