"""Other libraries that read a tokenizer.json: are their ids those of `tokenizers`, and at what CPU?

python -m tests.same_ids.libraries PYTHON: of an environment with libraries.txt and tokenizers. Each
library reads each structure in a process of its own. Special tokens are left to the step.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers.utils import logging

from tests.same_ids.corpora import FOLDER, corpora
from tests.same_ids.structures import structures, tokenizer_of

LIBRARIES = ("tokenizers", "nanotoken", "fastokens", "morpheme", "kitoken", "budtiktok")
SECONDS = 600  # for one library and structure


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each library and structure; what they are worth is for people to say."""
    options = _parser().parse_args(arguments)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    folder = FOLDER / "libraries"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "real.json").write_text(json.dumps(corpora(options.real)), encoding="utf-8")
    names = list(_write(folder, options.only))
    for library in options.libraries.split():
        for name in names:
            row = _row(options.python, library, folder, name, options.generated, options.seed)
            told = ", ".join(f"{key} {value}" for key, value in row.items())
            print(f"{library:12}{name:28}{told}", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.same_ids.libraries", description=__doc__)
    parser.add_argument("python", help="of the environment that has the libraries")
    parser.add_argument("--libraries", default=" ".join(LIBRARIES))
    parser.add_argument("--seed", type=int, default=0, help="of the generated texts")
    parser.add_argument("--only", default="", help="structures with this in a name")
    parser.add_argument("--generated", type=int, default=20_000, help="texts of each structure")
    parser.add_argument("--real", type=int, default=20_000, help="texts of each structure")
    return parser


def _write(folder: Path, only: str) -> Iterator[str]:
    """The names of the structures, each as a tokenizer.json without a post-processor."""
    for structure in structures(only):
        tokenizer = tokenizer_of(structure)
        content = json.loads(tokenizer.to_str()) | {"post_processor": None}
        name = f"{structure.names[0]}-{structure.max_length}"
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        yield name


def _row(
    python: str, library: str, folder: Path, name: str, count: int, seed: int
) -> dict[str, Any]:
    program = ["-m", "tests.same_ids.library", library, str(folder), name]
    one_thread = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    try:
        done = subprocess.run(
            [python, *program, str(count), str(seed)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=os.environ | one_thread,
        )
    except subprocess.TimeoutExpired:
        return {"ends": f"not within {SECONDS} s"}
    if done.returncode:
        return {"dies": f"{done.returncode} {done.stderr[-200:]!r}"}
    row: dict[str, Any] = json.loads(done.stdout)
    return row


if __name__ == "__main__":
    sys.exit(main())
