"""Code of another commit, unpacked beside that of the working tree, to measure both in one run."""

import os
import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

CODE = ("gateway", "export", "model_repository")


class CannotUnpack(Exception):
    """One sentence that says what is missing."""


def unpack(commit: str, folder: Path) -> Path:
    """Where the code of a commit lies now: `folder/<commit>/code`.

    Raises: CannotUnpack.
    """
    found = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if found.returncode:
        raise CannotUnpack(
            f"commit {commit} is not in this clone: `git fetch --unshallow`, or BEFORE=another"
        )
    full = found.stdout.decode().strip()
    code = (folder / full[:10] / "code").absolute()
    if not code.exists():
        unpacked = code.with_name("unpacked")
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(fileobj=BytesIO(_git("archive", full, *CODE).stdout)) as archive:
            archive.extractall(unpacked, filter="data")
        put_steps_beside(unpacked)
        unpacked.rename(code)
    return code


def put_steps_beside(code: Path) -> None:
    """Where `export.model_repository` is found without an installation."""
    (code / "export" / "model_repository").symlink_to("../model_repository")


def environ_of(code: Path) -> dict[str, str]:
    """In which this code is imported, and no other."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
    return {**inherited, "PYTHONPATH": str(code)}


def _git(*words: str) -> "subprocess.CompletedProcess[bytes]":
    command = ("git", *words)
    return subprocess.run(command, capture_output=True, check=False)  # noqa: S603
