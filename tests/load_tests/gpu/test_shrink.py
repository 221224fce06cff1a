"""Machine code of other architectures becomes zeros, and nothing else."""

import struct
from pathlib import Path

import pytest

from load_tests.gpu.shrink import MAGIC, shrink

PTX, MACHINE_CODE = 1, 2


def image(kind: int, architecture: int, code: bytes) -> bytes:
    """With a header of 64 bytes."""
    header = struct.pack("<HHIQ", kind, 257, 64, len(code)) + bytes(12)
    return (header + struct.pack("<I", architecture)).ljust(64, b"\1") + code


def library(*images: bytes) -> bytes:
    """One fat binary between other bytes, among them its magic number without a header."""
    joined = b"".join(images)
    header = MAGIC + struct.pack("<HHQ", 1, 16, len(joined))
    return b"before" + MAGIC + b"by chance, no header" + header + joined + b"after" + MAGIC


def test_the_code_of_other_architectures_becomes_zeros(tmp_path: Path) -> None:
    provider, copy = tmp_path / "provider.so", tmp_path / "copy.so"
    kept = [image(MACHINE_CODE, 90, b"ninety"), image(PTX, 75, b"text")]
    provider.write_bytes(library(image(MACHINE_CODE, 80, b"eighty"), *kept))

    sizes = shrink(provider, copy, 90)

    assert sizes == {80: 6, 90: 6}
    assert library(image(MACHINE_CODE, 80, bytes(6)), *kept) == copy.read_bytes()


def test_code_may_hold_the_magic_number(tmp_path: Path) -> None:
    provider, copy = tmp_path / "provider.so", tmp_path / "copy.so"
    inner = image(MACHINE_CODE, 90, library(image(MACHINE_CODE, 80, b"no image")))
    provider.write_bytes(library(inner, image(MACHINE_CODE, 80, b"eighty")))

    shrink(provider, copy, 90)

    assert library(inner, image(MACHINE_CODE, 80, bytes(6))) == copy.read_bytes()


def test_a_library_without_the_architecture_is_refused(tmp_path: Path) -> None:
    provider, copy = tmp_path / "provider.so", tmp_path / "copy.so"
    provider.write_bytes(library(image(MACHINE_CODE, 80, b"eighty")))
    with pytest.raises(ValueError, match=r"machine code of \[80\], not of 100"):
        shrink(provider, copy, 100)
    assert not copy.exists()
