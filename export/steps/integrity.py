"""SHA-256 of files, and whether they are still the files that were verified.

The exporter copies this file beside the steps that load large files, byte for byte.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path


class CorruptedFile(Exception):
    """A file is missing, or is not the one that was verified at export."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(folder: Path, digests: Mapping[str, str]) -> None:
    """Compare the files of a folder with their digests.

    digests  relative path → SHA-256 in hexadecimal

    Raises: CorruptedFile naming the first file that differs.
    """
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            raise CorruptedFile(f"{name} is missing: export the model again")
        if file_sha256(path) != digest:
            raise CorruptedFile(
                f"{name} is not the file that was verified at export: export the model again"
            )
