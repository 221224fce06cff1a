"""Exports into one output at random distances, some killed at random moments; then a look at it.

    python -m tests.export.races --pairs 50 --kills 20

Each pair exports two models of different size, under one name or under two, beside folders and
files of somebody else. After each pair every published model must have its manifest and its
files, load as Triton would load it, and give the vectors of the checkpoint that its manifest
names; nothing of somebody else may be lost. One line a pair, and the counts at the end.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.manifest import Manifest, is_intact, read_manifest
from export.names import STEP_NAMES, step_folder
from export.steps.inference import CpuEncoder
from export.steps.integrity import MANIFEST, check_step
from export.steps.tokenization import PackedTokenizer
from tests.checkpoints import make_checkpoint
from tests.export.exports import snapshot

SIZES = (32, 64)  # native dimensions of the two checkpoints
NAMES = ("tiny/m", "tiny/other")
PATIENCE_SECONDS = 600.0
TEXTS = ["Why is bread so tasty?", "the baker to the other baker"]


@dataclass
class Field:
    """The output that is raced for, and what must stay true of it."""

    folder: Path
    draw: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.output = self.folder / "models"
        for size in SIZES:
            make_checkpoint(self.checkpoint(size), "bert", hidden_size=size)
        (self.output / "theirs/1").mkdir(parents=True)
        (self.output / "theirs/1/weights").write_bytes(self.draw.randbytes(1000))
        (self.output / "theirs/config.pbtxt").write_text('platform: "ensemble"')
        (self.output / "README.md").write_text("of somebody else")
        self.foreign = snapshot(self.output)
        started = time.monotonic()
        self.vectors = {size: self.reference(size) for size in SIZES}
        self.export_seconds = (time.monotonic() - started) / len(SIZES)

    def checkpoint(self, size: int) -> Path:
        return self.folder / f"checkpoint-{size}"

    def reference(self, size: int) -> NDArray[np.float32]:
        """The vectors of a checkpoint, exported alone."""
        output = self.folder / f"alone-{size}"
        assert self.start(size, NAMES[0], output).wait(PATIENCE_SECONDS) == 0
        return embed(output, "tiny--m")

    def start(
        self, size: int, name: str, output: Path | None = None, dies_after: float | None = None
    ) -> subprocess.Popen[bytes]:
        """One export; it is killed after some seconds, if it still runs then."""
        options = ["--served-name", name, "--output", str(output or self.output)]
        command = [sys.executable, "-m", "export", str(self.checkpoint(size)), *options]
        with (self.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        if dies_after is not None:
            timer = threading.Timer(dies_after, process.kill)
            timer.daemon = True
            timer.start()
        return process

    def run_pair(self, is_killed: bool) -> bool:
        """Two exports and a look at what they published; says whether one was killed."""
        names = self.draw.choice([(NAMES[0], NAMES[0]), NAMES])
        distance = self.draw.uniform(0, 1.2) * self.export_seconds
        deaths: list[float | None] = [None, None]
        if is_killed:  # rather late, when there is something to lose
            share = self.draw.triangular(0, 1.1, 1)
            deaths[self.draw.randrange(2)] = share * self.export_seconds
        first = self.start(self.draw.choice(SIZES), names[0], dies_after=deaths[0])
        time.sleep(distance)
        second = self.start(self.draw.choice(SIZES), names[1], dies_after=deaths[1])
        codes = [process.wait(PATIENCE_SECONDS) for process in (first, second)]
        for code, death in zip(codes, deaths, strict=True):
            allowed = (0,) if death is None else (0, -signal.SIGKILL)
            assert code in allowed, (self.folder / "log.txt").read_text()[-2000:]
        self.counts["pairs"] += 1
        self.counts["killed"] += any(codes)
        self.counts["exported"] += codes.count(0)
        print(f"{distance:4.1f} s apart, exit codes {codes}: {self.check()}", flush=True)
        return any(codes)

    def check(self) -> str:
        """The published models, each found whole and right, and nothing foreign lost."""
        found = snapshot(self.output)
        assert self.foreign.items() <= found.items()
        published = sorted(path.parent.name for path in self.output.glob(f"*/{MANIFEST}"))
        ensembles = sorted(path.parent.parent.name for path in self.output.glob("tiny--*/*/.keep"))
        assert published == ensembles, "an ensemble without its manifest"
        for name in published:
            manifest = read_manifest(self.output, name)
            assert manifest is not None
            self.check_model(name, manifest)
        self.counts["models checked"] += len(published)
        return ", ".join(published) or "nothing yet"

    def check_model(self, name: str, manifest: Manifest) -> None:
        assert is_intact(self.output, manifest)
        for step in STEP_NAMES:
            check_step(self.output / step_folder(name, manifest.edition, step) / "1", step)
        size = int(manifest.request["checkpoint"].rpartition("-")[2])
        np.testing.assert_allclose(embed(self.output, name), self.vectors[size], atol=1e-6)

    def finish(self) -> None:
        """One more export of each name leaves nothing but the models and what was there."""
        for name in NAMES:
            assert self.start(SIZES[0], name).wait(PATIENCE_SECONDS) == 0
        self.check()
        manifests = [read_manifest(self.output, name.replace("/", "--")) for name in NAMES]
        ours = {folder for manifest in manifests if manifest for folder in manifest.folders}
        assert {*ours, "theirs", "README.md"} == {path.name for path in self.output.iterdir()}
        assert not list(self.folder.glob(".models.staging-*"))


def embed(output: Path, name: str) -> NDArray[np.float32]:
    """The vectors that the published files of a model give."""
    manifest = read_manifest(output, name)
    assert manifest is not None
    tokenizer, encoder, _ = (
        output / step_folder(name, manifest.edition, step) / "1" for step in STEP_NAMES
    )
    packed = PackedTokenizer(tokenizer / "tokenizer.json", 64)
    return CpuEncoder(encoder / "model.onnx", threads=1).embed(*packed.tokenize(TEXTS))


def race(pairs: int, kills: int, seed: int) -> Counter[str]:
    """Run them all; an AssertionError says what was lost.

    A pair in which the victim was faster than its death is one more.
    """
    draw = random.Random(seed)  # noqa: S311  # not for secrets
    with tempfile.TemporaryDirectory() as folder:
        field = Field(Path(folder), draw)
        plans = [True] * kills + [False] * (pairs - kills)
        draw.shuffle(plans)
        for is_killed in plans:
            while field.run_pair(is_killed) != is_killed:
                pass
        field.finish()
    return field.counts


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.export.races",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20, help="pairs of which one is killed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print(dict(race(options.pairs, options.kills, options.seed)))


if __name__ == "__main__":
    main()
