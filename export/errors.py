"""What can go wrong during an export, each with its exit code.

ExportError
├─ WrongOption          2  an option that cannot be served, as for any other wrong argument
├─ CheckpointNotFound   3  no such folder, no such Hub id, or files missing
├─ UnsupportedModel     4  the checkpoint cannot be served exactly; names the file and the key
├─ ConversionFailed     5  torch or onnx refused the model, or no engine can be built for it
├─ VerificationFailed   6  the staged files differ from the reference
└─ RepositoryConflict   7  the output holds something that this export would break
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 240  # characters of somebody else's words within our sentence


class ExportError(Exception):
    """An export that ended without touching its output."""

    exit_code = 1


class WrongOption(ExportError):
    """An option, or a name that follows from one, cannot be served."""

    exit_code = 2


class CheckpointNotFound(ExportError):
    """There is no such checkpoint."""

    exit_code = 3


class UnsupportedModel(ExportError):
    """The checkpoint asks for something that would not be served exactly."""

    exit_code = 4


class ConversionFailed(ExportError):
    """The model could not be written as ONNX, or built for a GPU."""

    exit_code = 5


class VerificationFailed(ExportError):
    """The staged files do not reproduce the reference."""

    exit_code = 6


class RepositoryConflict(ExportError):
    """The output holds something that this export must not replace."""

    exit_code = 7


@contextmanager
def told(kind: type[ExportError], what: str, folder: Path | None = None) -> Iterator[None]:
    """Whatever a library raises within becomes one sentence; what it raised is its cause.

    Errors that say enough go on as they are: ours, and those of a file that this machine cannot
    read or write.

    folder  whose path a library may repeat for each of its files

    Raises: the kind, ExportError, OSError.
    """
    try:
        yield
    except BaseException as error:
        is_panic = type(error).__name__ == "PanicException"  # of a library in Rust
        says_enough = isinstance(error, ExportError) or bool(getattr(error, "errno", None))
        if says_enough or not (is_panic or isinstance(error, Exception)):
            raise
        raise kind(f"{what} ({one_line(error, folder)})") from error


def one_line(error: BaseException, folder: Path | None = None) -> str:
    """A library's error as a part of our sentence: its kind and first lines, without colours.

    folder  that the sentence names already
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    if folder is not None:
        text = text.replace(f"{folder}/", "").replace(str(folder), "the folder")
    shortened = shorten(" ".join(text.split()))
    return f"{type(error).__name__}: {shortened}" if shortened else type(error).__name__


def shorten(text: str) -> str:
    """As much of a text as a line carries."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
