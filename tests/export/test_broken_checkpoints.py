"""A dozen broken checkpoints. More of them: python -m tests.export.broken_checkpoints."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.checkpoints import ARCHITECTURES, make_checkpoint
from tests.export.mutations import GROUPS, Mutation, mutate

ROOT = Path(__file__).parents[2]
SEED = 5
NUMBERS = range(0, len(ARCHITECTURES), 3)


@pytest.mark.slow
def test_a_broken_checkpoint_is_served_equal_or_refused_in_one_sentence() -> None:
    # In a process of its own: it forks, which one with threads must not.
    command = [sys.executable, "-m", "tests.export.broken_checkpoints", "--seed", str(SEED)]

    run = subprocess.run(
        [*command, "--only", *map(str, NUMBERS)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 0 == run.returncode, run.stdout + run.stderr
    assert ", 0 wrong, 0 traceback, 0 bad sentence, 0 hangs, 0 only ours" in run.stdout


def test_a_seed_gives_the_same_mutations(tmp_path: Path) -> None:
    def mutated(name: str) -> list[list[str]]:
        folder = make_checkpoint(tmp_path / name, "bert")
        draw = Random(SEED)  # noqa: S311
        return [mutate(folder, draw) for _ in range(5)]

    assert mutated("a") == mutated("b")


def changes(mutation: Mutation, seed: int, folder: Path) -> bool:
    """Whether the files of a checkpoint are others after it."""
    make_checkpoint(folder, "distiluse")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert mutation(folder, Random(seed))  # noqa: S311
    return before != {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("group", GROUPS)
def test_every_mutation_changes_something(group: str, tmp_path: Path) -> None:
    for number, mutation in enumerate(GROUPS[group]):
        assert any(changes(mutation, seed, tmp_path / f"{number}-{seed}") for seed in range(4))
