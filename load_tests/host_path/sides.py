"""The two codes that are measured: that of a commit, and that of the working tree."""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

from load_tests.host_path.repositories import served_name, with_constant_rows

FOLDER = Path("build/host_path")
CODE = ("gateway", "export", "model_repository")
MAX_LENGTH = 512  # of the rows with 500 tokens
EXPORTED_BY = {  # settings → options of the export
    "GPU": ("--target", "cuda"),
    "CPU": (),
}

Settings = Literal["GPU", "CPU"]


class CannotMeasure(Exception):
    """One sentence that says what is missing."""


@dataclass(frozen=True, slots=True)
class Side:
    """Code in a folder of its own, and what it exports."""

    name: str
    code: Path

    @property
    def environ(self) -> dict[str, str]:
        """In which this code is imported, and no other."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
        return {**inherited, "PYTHONPATH": str(self.code)}

    def repository(self, settings: Settings) -> Path:
        """With an encoder of constants, exported if need be.

        Raises: CannotMeasure.
        """
        exported, copy = (self.code.parent / f"{what}-{settings}" for what in ("exported", "copy"))
        command = [sys.executable, "-m", "export", "--max-length", str(MAX_LENGTH)]
        command += [*EXPORTED_BY[settings], "--output", str(exported)]
        log = self.code.parent / f"export-{settings}.log"
        print(f"Exporting by the code of {self.name}, {settings} settings", flush=True)
        with log.open("wb") as output:
            done = subprocess.run(  # noqa: S603 - our own command
                command, cwd=self.code, env=self.environ, stdout=output, stderr=output, check=False
            )
        if done.returncode:
            raise CannotMeasure(f"the code of {self.name} cannot export the model: see {log}")
        with_constant_rows(exported, copy)
        return copy

    def model(self, settings: Settings) -> str:
        return served_name(self.code.parent / f"copy-{settings}")


def of_commit(commit: str) -> Side:
    """Unpacked from git.

    Raises: CannotMeasure.
    """
    found = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if found.returncode:
        raise CannotMeasure(
            f"commit {commit} is not in this clone: `git fetch --unshallow`, or BEFORE=another"
        )
    full = found.stdout.decode().strip()
    code = (FOLDER / full[:10] / "code").absolute()
    if not code.exists():
        unpacked = code.with_name("unpacked")
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(fileobj=BytesIO(_git("archive", full, *CODE).stdout)) as archive:
            archive.extractall(unpacked, filter="data")
        _put_steps_beside(unpacked)
        unpacked.rename(code)
    return Side(commit, code)


def of_working_tree() -> Side:
    """What lies here now, committed or not."""
    code = (FOLDER / "now" / "code").absolute()
    shutil.rmtree(code, ignore_errors=True)
    for folder in CODE:
        shutil.copytree(folder, code / folder, ignore=shutil.ignore_patterns("__pycache__"))
    _put_steps_beside(code)
    return Side("now", code)


def _put_steps_beside(code: Path) -> None:
    """Where `export.model_repository` is found without an installation."""
    (code / "export" / "model_repository").symlink_to("../model_repository")


def _git(*words: str) -> "subprocess.CompletedProcess[bytes]":
    command: Sequence[str] = ("git", *words)
    return subprocess.run(command, capture_output=True, check=False)  # noqa: S603
