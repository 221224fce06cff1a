"""SHA-256 of files, and whether they are still the files that were verified.

The exporter copies this file beside every step's `model.py`, byte for byte.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.machinery import all_suffixes
from pathlib import Path

LISTING = "digests.json"  # in every step's version folder: the files of all three, with SHA-256
MANIFEST = "manifest.json"  # in the ensemble's folder
EDITION_DIGITS = 12  # hexadecimal: 48 bits tell the editions of a model apart

_CODE = tuple(all_suffixes())  # of files that Python imports
_SMALL = (".py", ".pbtxt")  # cheap enough for every step to check those of the others


class CorruptedFile(Exception):
    """A file is missing, or is not the one that was verified at export."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def edition_of(listing: bytes) -> str:
    """The edition whose files are listed: the first digits of the list's own digest."""
    return hashlib.sha256(listing).hexdigest()[:EDITION_DIGITS]


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


def code_files(folder: Path) -> Iterator[Path]:
    """Whatever Python could import from a folder, but for its own cache of it."""
    for path in sorted(folder.rglob("*")):
        if path.name.endswith(_CODE) and "__pycache__" not in path.relative_to(folder).parts:
            yield path


def check_step(version_folder: Path, step: str) -> None:
    """Refuse a step of a model that is not, file by file, the one that was verified.

    version_folder  <folder>@<edition>-<step>/1

    Every file of the step is checked. Of the other steps and the ensemble, where they lie beside
    it, code and configuration are: so a step that was made to check nothing is found by others.

    Raises: CorruptedFile naming the first file that differs.
    """
    own = version_folder.parent
    listing = _read(own, f"1/{LISTING}")
    stem, at, edition = own.name.removesuffix(f"-{step}").rpartition("@")
    if at and edition_of(listing) != edition:
        raise CorruptedFile(f"{own.name} does not hold the edition in its name")
    digests: dict[str, str] = json.loads(listing)
    _check_step(own, step, digests)
    if not at:  # fetched from a bucket: nothing lies beside it
        return
    small = {name: digest for name, digest in digests.items() if name.endswith(_SMALL)}
    for other in sorted({name.partition("/")[0] for name in small} - {step}):
        _check_step(own.with_name(f"{stem}@{edition}-{other}"), other, small)
    _check_ensemble(own.with_name(stem))


def _check_step(folder: Path, step: str, digests: Mapping[str, str]) -> None:
    """The files of one step; it may be absent, then Triton has nothing to load."""
    if not folder.is_dir():
        return
    listed = {
        f"{folder.name}/{name.removeprefix(f'{step}/')}": digest
        for name, digest in digests.items()
        if name.startswith(f"{step}/")
    }
    check_files(folder.parent, listed)
    for path in code_files(folder):
        if (name := path.relative_to(folder.parent).as_posix()) not in listed:
            raise CorruptedFile(f"{name} was added after the export: remove it")


def _check_ensemble(folder: Path) -> None:
    """The configuration of the ensemble, which has no code that could check itself."""
    if not folder.is_dir():
        return
    manifest = _read(folder, MANIFEST)
    try:
        files: dict[str, str] = json.loads(manifest)["files"]
        listed = {name: files[name] for name in files if name.startswith(f"{folder.name}/")}
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptedFile(
            f"{folder.name}/{MANIFEST} cannot be read: export the model again"
        ) from error
    check_files(folder.parent, listed)


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise CorruptedFile(f"{folder.name}/{name} is missing: export the model again") from error
