"""An environment of links, for those who look at no PYTHONPATH."""

import os
import subprocess
from pathlib import Path

import pytest

from load_tests.gpu.environment import make_environment


def test_packages_are_found_where_they_are_found_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "numpy.py").write_text("NAME = 'before the installed one'")
    (tmp_path / "nowhere_else.py").write_text("")
    python = make_environment(tmp_path / "environment")
    program = "import nowhere_else, numpy, pytest; print(numpy.NAME)"
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = subprocess.run(
        [python, "-c", program], env=bare, capture_output=True, text=True, check=True
    )
    assert told.stdout == "before the installed one\n"
