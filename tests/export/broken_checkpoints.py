"""Exports checkpoints that are broken in one to three ways: served equal, or one sentence.

`python -m tests.export.broken_checkpoints --count 200 --seed 1`

Each is a tiny random checkpoint, the structures in turn, changed by `tests.export.mutations`; its
seed and number give it again (`--only`, and `--keep` to look at it). It is exported by the command
line in a process of its own, so that none can hang or take the memory of the others. What is
served is compared with a plain `SentenceTransformer(folder)`, text by text.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import text_format
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tritonclient.grpc import model_config_pb2 as triton

from export.__main__ import main as export
from export.reference.quiet import quiet
from export.steps.inference import CpuEncoder
from export.steps.tokenization import KEEP_START, PackedTokenizer
from export.translations import translated
from gateway.inference.prompts import heads, join, read_prompts
from tests.checkpoints import ARCHITECTURES, make_checkpoint
from tests.export.mutations import mutate

TEXTS = (
    "",
    "why?",
    "面包为什么这么好吃? Élan, Käse и хлеб",
    " ".join(f"word{number} of" for number in range(50)),
    "SHOUTED WORDS, AND AN İ",
    "[CLS] one [SEP] two [PAD] three [MASK] <s> four </s>",
)
MIN_COSINE = 0.99999
SERVED_NAME = "broken"
UNEXPECTED = 70  # the exit code of what the command line has no words for
LONGEST_SENTENCE = 500  # characters
LONGEST_SECONDS = 120
MOST_BYTES = 12 * 2**30  # of the addresses of one export
# Of a sentence that is meant for a person who has a checkpoint, and no library.
UNFIT = re.compile(r"\x1b|Traceback|site-packages|\.py\b|/python3|object at 0x|translated-|staging")
BAR = re.compile(r"\s*|(Embedding|Verifying): .*")  # of progress, and what wipes it


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one checkpoint."""

    verdict: str  # equal, refused, or a fault
    said: str  # the worst cosine, or exit code and sentence


FAULTS = ("wrong", "traceback", "bad sentence", "hangs", "only ours")


@dataclass(frozen=True, slots=True)
class Broken:
    """One checkpoint and how it was broken."""

    number: int
    structure: str
    mutations: list[str]
    outcome: Outcome
    seconds: float

    def __str__(self) -> str:
        changes = "; ".join(self.mutations)
        return (
            f"{self.number:4} {self.structure:20} {self.outcome.verdict:12} {self.outcome.said}"
            f"\n     {self.seconds:5.1f} s: {changes}"
        )


def run(
    count: int, seed: int, only: Sequence[int] = (), keep: Path | None = None
) -> Iterator[Broken]:
    """Break and export checkpoints.

    only  their numbers, if not all
    keep  a folder for the checkpoints
    """
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place, "whole")
        replicas = {}
        for number in only or range(count):
            structure = list(ARCHITECTURES)[number % len(ARCHITECTURES)]
            if structure not in replicas:
                with quiet():
                    replicas[structure] = make_checkpoint(whole / structure, structure)
            home = Path(place, str(number))
            folder = Path(shutil.copytree(replicas[structure], home / "checkpoint"))
            torch.manual_seed(number)
            mutations = mutate(folder, random.Random(f"{seed}-{number}"))  # noqa: S311
            if keep is not None:
                shutil.copytree(folder, keep / str(number), symlinks=True, dirs_exist_ok=True)
            start = time.monotonic()
            outcome = _apart(folder, home)
            yield Broken(number, structure, mutations, outcome, time.monotonic() - start)
            shutil.rmtree(home)


def _apart(folder: Path, home: Path) -> Outcome:
    """Export and compare in a process of its own, that may not run or grow without end."""
    fork = multiprocessing.get_context("fork")  # what it takes seconds to import is there
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_report, args=(folder, home, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(LONGEST_SECONDS):
            return Outcome("hangs", f"after {LONGEST_SECONDS} s")
        return receiver.recv()
    except EOFError:
        process.join()
        return Outcome("traceback", f"its process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()


def _report(folder: Path, home: Path, sender: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sender.send(judge(folder, home))
    sender.close()


def judge(folder: Path, home: Path) -> Outcome:
    """Export a checkpoint, and compare what is served of it."""
    output = home / "models"
    command = [str(folder), "--output", str(output), "--served-name", SERVED_NAME, "--threads", "1"]
    with _caught(home / "stderr") as said, _caught(home / "stdout", sys.__stdout__):
        code = export(command)
    lines = [line for line in re.split(r"[\r\n]+", said()) if not BAR.fullmatch(line)]
    sentence = " | ".join(lines).removeprefix("export: ").replace(str(folder), "CHECKPOINT")
    if code == UNEXPECTED:
        return Outcome("traceback", sentence)
    unfit = UNFIT.search(sentence) or len(lines) > 1 or len(sentence) > LONGEST_SENTENCE
    if unfit or (code and not sentence) or (not code and sentence):
        return Outcome("bad sentence", f"{code}: {sentence}")
    return Outcome("refused", f"{code}: {sentence}") if code else compare(folder, output)


@contextlib.contextmanager
def _caught(path: Path, stream: Any = sys.__stderr__) -> Iterator[Callable[[], str]]:
    """What is written to a stream in this process, by whatever library."""
    number = stream.fileno()
    stream.flush()
    kept = os.dup(number)
    with path.open("wb") as file:
        os.dup2(file.fileno(), number)
    try:
        yield lambda: path.read_text(errors="replace")
    finally:
        stream.flush()
        os.dup2(kept, number)
        os.close(kept)


def compare(folder: Path, output: Path) -> Outcome:
    """What the exported files give, against a plain SentenceTransformer."""
    with translated(folder) as (read, _), warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        try:
            theirs = SentenceTransformer(
                str(read), device="cpu", model_kwargs={"dtype": torch.float32}
            )
            expected = [theirs.encode(text) for text in TEXTS]
        except Exception as error:  # what theirs cannot do, ours should not either
            return Outcome("only ours", " ".join(f"{type(error).__name__}: {error}".split())[:300])
    found = served(output, TEXTS)
    if [x.shape for x in expected] != [x.shape for x in found]:
        return Outcome("wrong", f"{found[0].shape} for {expected[0].shape}")
    cosines = [_cosine(a, b) for a, b in zip(found, expected, strict=True)]
    said = f"cosine {min(cosines):.9f}"
    return Outcome("equal" if min(cosines) >= MIN_COSINE else "wrong", said)


def _cosine(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """-1 if one of them is not finite or has no direction; 1 if neither has one."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    if not a.any() and not b.any():
        return 1.0
    with np.errstate(all="ignore"):
        cosine = (a / np.linalg.norm(a)) @ (b / np.linalg.norm(b))
    return float(np.nan_to_num(cosine, nan=-1.0))


def served(output: Path, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """The vectors that a caller gets who sends texts alone, one at a time."""
    config = triton.ModelConfig()
    text_format.Parse((output / SERVED_NAME / "config.pbtxt").read_text(), config)
    said = {key: value.string_value for key, value in config.parameters.items()}
    (tokenizer_json,) = output.glob("*-tokenizer/1/tokenizer.json")
    (model_onnx,) = output.glob("*-encoder/1/model.onnx")
    (settings,) = output.glob("*-tokenizer/config.pbtxt")
    step = text_format.Parse(settings.read_text(), triton.ModelConfig())
    windows = step.parameters["windows"].string_value == "true"
    segments_mib = int(step.parameters["segments_mib"].string_value)
    tokenizer = PackedTokenizer(tokenizer_json, int(said["max_length"]), windows, segments_mib)
    encoder = CpuEncoder(model_onnx, threads=1)
    prompt = read_prompts(said).choose(None)
    plain = [text.encode() for text in texts]
    prompted = (
        [text.decode() for text in join(heads(prompt, plain, spaced=False), plain)]
        if prompt
        else texts
    )
    return [encoder.embed(*tokenizer.tokenize([text], KEEP_START))[0] for text in prompted]


def warm() -> None:
    """Import and compile what every export needs, on one thread, before processes are made."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        with quiet():
            bert = make_checkpoint(Path(place, "bert"), "bert")
        judge(bert, Path(place))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each checkpoint and the totals; 1 if there is a fault."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.export.broken_checkpoints", description=__doc__
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", default=[], help="numbers of checkpoints")
    parser.add_argument("--keep", type=Path, help="a folder for the broken checkpoints")
    options = parser.parse_args(arguments)
    warm()
    totals: Counter[str] = Counter()
    for broken in run(options.count, options.seed, options.only, options.keep):
        totals[broken.outcome.verdict] += 1
        print(broken, flush=True)
    names = ("equal", "refused", *FAULTS)
    print(f"seed {options.seed}: " + ", ".join(f"{totals[name]} {name}" for name in names))
    return int(any(totals[name] for name in FAULTS))


if __name__ == "__main__":
    sys.exit(main())
