import subprocess
import sys
from pathlib import Path

import pytest

from load_tests.commits import CannotUnpack, environ_of, unpack


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack("HEAD", tmp_path_factory.mktemp("commits"))


def test_code_of_a_commit_is_imported_from_where_it_lies(code: Path) -> None:
    program = "import gateway, export.model_repository as m; print(gateway.__file__, *m.__path__)"
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=environ_of(code),
        cwd=code,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(path.startswith(str(code)) for path in found.stdout.split())


def test_a_commit_is_unpacked_once(code: Path) -> None:
    (code / "mark").touch()
    assert unpack("HEAD", code.parents[1]) == code
    assert (code / "mark").exists()


def test_a_commit_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotUnpack, match="commit nowhere is not in this clone"):
        unpack("nowhere", tmp_path)
