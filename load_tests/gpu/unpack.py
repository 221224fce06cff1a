"""Pieces of `pack` → a folder to measure in, by nothing but Python's standard library.

`python3 unpack.py PIECES… --to FOLDER`, as often as pieces come: what is whole is unpacked, what is
missing is named. `pack` puts a copy of this file beside each load of pieces.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

INDEX = "index.json"  # of all archives: digest and number of pieces
WHEELS = "wheels"  # within an archive, unpacked into SITE
SITE = "site"
KEPT = "pieces"  # in the folder, until an archive is whole


def unpack(loads: Sequence[Path], folder: Path) -> list[str]:
    """Take the pieces of some loads; returns those that are missing.

    Raises: ValueError if an archive is not the one that was packed.
    """
    kept = folder / KEPT
    kept.mkdir(parents=True, exist_ok=True)
    for load in loads:
        for piece in load.iterdir():
            if piece.suffix != ".py":
                shutil.copy(piece, kept)
    missing = []
    for archive, told in json.loads((kept / INDEX).read_text()).items():
        done = kept / f"{archive}.done"
        pieces = [kept / f"{archive}.{number}" for number in range(told["pieces"])]
        if done.exists():
            continue
        absent = [piece.name for piece in pieces if not piece.exists()]
        missing += absent
        if not absent:
            _join(pieces, kept / archive, told["sha256"])
            _extract(kept / archive, folder)
            (kept / archive).unlink()
            done.touch()
    return missing


def _join(pieces: Sequence[Path], archive: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with archive.open("wb") as file:
        for piece in pieces:
            data = piece.read_bytes()
            digest.update(data)
            file.write(data)
    if digest.hexdigest() != sha256:
        raise ValueError(f"{archive.name} is not the one that was packed")
    for piece in pieces:
        piece.unlink()


def _extract(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    wheels = folder / WHEELS
    for wheel in sorted(wheels.glob("*.whl")):
        _install(wheel, folder / SITE)
        wheel.unlink()


def _install(wheel: Path, site: Path) -> None:
    """With the modes of its files: some of them are programs."""
    with zipfile.ZipFile(wheel) as file:
        for entry in file.infolist():
            mode = entry.external_attr >> 16 & 0o777
            path = Path(file.extract(entry, site))
            if mode and path.is_file():
                path.chmod(mode | 0o600)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pieces", type=Path, nargs="+", help="a load, or the folder of loads")
    parser.add_argument("--to", type=Path, required=True, help="folder to measure in")
    options = parser.parse_args()
    loads = [load.parent for given in options.pieces for load in sorted(given.rglob(INDEX))]
    missing = unpack(loads, options.to)
    print(f"{options.to}: " + (f"missing {', '.join(missing)}" if missing else "all is there"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
