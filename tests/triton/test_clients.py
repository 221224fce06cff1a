"""The acceptance programs of tests/clients, each run as its user would, against the service."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import tiktoken_cache
from tests.serving import PATIENCE_SECONDS, Service

pytestmark = pytest.mark.triton

PROGRAMS = Path(__file__).parents[1] / "clients"
INTERPRETERS = {".py": sys.executable, ".sh": "sh"}
# What an SDK would take its address or its key from instead.
PREFIXES = ("MXBAI_", "MIXEDBREAD_", "OPENAI_")


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.*")), ids=lambda path: path.name)
def test_the_program_finds_what_it_expects(service: Service, program: Path, tmp_path: Path) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    ended = subprocess.run(
        [INTERPRETERS[program.suffix], program, str(urlsplit(service.url).port)],
        env=inherited | tiktoken_cache.fill(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("ok ")
