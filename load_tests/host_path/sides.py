"""The two codes that are measured: that of a commit, and that of the working tree."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from load_tests.commits import CODE, CannotUnpack, environ_of, put_steps_beside, unpack
from load_tests.host_path.repositories import served_name, with_constant_rows

FOLDER = Path("build/host_path")
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
        return environ_of(self.code)

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
    try:
        return Side(commit, unpack(commit, FOLDER))
    except CannotUnpack as error:
        raise CannotMeasure(str(error)) from error


def of_working_tree() -> Side:
    """What lies here now, committed or not."""
    code = (FOLDER / "now" / "code").absolute()
    shutil.rmtree(code, ignore_errors=True)
    for folder in CODE:
        # A link of that name some have in export/, to run without an installation.
        ignored = shutil.ignore_patterns("__pycache__", "model_repository")
        shutil.copytree(folder, code / folder, ignore=ignored)
    put_steps_beside(code)
    return Side("now", code)
