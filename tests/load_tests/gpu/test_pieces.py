"""What is packed here is unpacked there, piece by piece, by Python's standard library alone."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from load_tests.gpu.pack import split
from load_tests.gpu.unpack import unpack

LOAD_BYTES = 9000


@pytest.fixture
def loads(tmp_path: Path) -> list[Path]:
    """Of one archive with sources, and one with a wheel that holds a program."""
    source, wheel = tmp_path / "module.py", tmp_path / "program-1-py3-none-any.whl"
    source.write_text("# a module")
    with zipfile.ZipFile(wheel, "w") as file:
        program = zipfile.ZipInfo("program/run")
        program.external_attr = 0o755 << 16
        file.writestr(program, b"#!" + bytes(10_000))
    archives = []
    for name, place, file_path in (
        ("check.tar.xz", "load_tests/module.py", source),
        ("service.tar", f"wheels/{wheel.name}", wheel),
    ):
        archives.append(tmp_path / name)
        with tarfile.open(archives[-1], "w:xz" if name.endswith("xz") else "w") as tar:
            tar.add(file_path, place)
    return split(archives, tmp_path / "loads", LOAD_BYTES)


def pieces(load: Path) -> list[Path]:
    return [path for path in load.iterdir() if path.name[-1].isdigit()]


def test_no_load_is_larger_than_can_be_carried(loads: list[Path]) -> None:
    sizes = [sum(piece.stat().st_size for piece in pieces(load)) for load in loads]
    assert sizes[:-1] == [LOAD_BYTES] * (len(loads) - 1)
    assert 0 < sizes[-1] <= LOAD_BYTES


def test_what_is_whole_is_unpacked_and_what_is_missing_is_named(
    loads: list[Path], tmp_path: Path
) -> None:
    there = tmp_path / "there"
    missing = unpack(loads[:1], there)
    assert (there / "load_tests" / "module.py").read_text() == "# a module"
    assert missing == [f"service.tar.{number}" for number in range(1, len(loads))]
    assert unpack(loads[1:], there) == []
    assert (there / "site" / "program" / "run").stat().st_mode & 0o111


def test_pieces_come_in_any_order(loads: list[Path], tmp_path: Path) -> None:
    for load in reversed(loads):
        missing = unpack([load], tmp_path / "there")
    assert missing == []
    assert (tmp_path / "there" / "site" / "program" / "run").exists()


def test_a_piece_that_is_another_is_refused(loads: list[Path], tmp_path: Path) -> None:
    piece = loads[-1] / f"service.tar.{len(loads) - 1}"
    piece.write_bytes(piece.read_bytes()[::-1] + b"more")
    with pytest.raises(ValueError, match=r"service\.tar is not the one that was packed"):
        unpack(loads, tmp_path / "there")


def test_a_load_unpacks_itself_without_this_package(loads: list[Path], tmp_path: Path) -> None:
    given = [str(tmp_path / "loads"), "--to", str(tmp_path / "there")]
    command = [sys.executable, "-I", "unpack.py", *given]
    told = subprocess.run(command, cwd=loads[0], capture_output=True, text=True, check=True)
    assert told.stdout == f"{tmp_path / 'there'}: all is there\n"
