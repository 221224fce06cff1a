"""A process that does one job after the other, each told and answered in one line of JSON.

Between the answer that it is prepared and the word that lets it begin, others read their clocks.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from load_tests.host_path.sides import CannotMeasure

Figures = dict[str, Any]
Work = Callable[[], Figures]


def serve(prepare: Callable[[Figures], Work]) -> None:
    """In that process: prepare each job, say so, do it when told, say what came of it."""
    told = sys.stdin
    for line in told:
        work = prepare(json.loads(line))
        print("prepared", flush=True)
        told.readline()
        print(json.dumps(work()), flush=True)


class Worker:
    """Such a process, seen from the one that gives the jobs."""

    def __init__(self, module: str, log: Path, environ: Mapping[str, str], folder: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=dict(environ),
                cwd=folder,
            )

    def prepare(self, job: Mapping[str, Any]) -> None:
        """Raises: CannotMeasure."""
        self._say(json.dumps(job))
        self._hear()

    def go(self) -> Figures:
        """Raises: CannotMeasure."""
        self._say("go")
        figures: Figures = json.loads(self._hear())
        return figures

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin
        print(line, file=self._process.stdin, flush=True)

    def _hear(self) -> str:
        assert self._process.stdout
        if line := self._process.stdout.readline():
            return line
        last = self._log.read_text().strip().splitlines()[-1:]
        raise CannotMeasure(f"a call failed, see {self._log}: {' '.join(last)}")
