"""Files that say which they are, and why, when they cannot be written."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Raises: OSError that names the file."""
    with writing(path, len(content)):
        path.write_bytes(content)


@contextmanager
def writing(path: Path, size_bytes: int = 1) -> Iterator[None]:
    """Whatever ends the writing of a file becomes an error with its name and a reason.

    size_bytes  that are about to be written, at most

    Python's own errors lose the name once the file is open, numpy's have no reason, and those of
    libraries in Rust are no OSError.

    Raises: OSError.
    """
    try:
        yield
    except OSError as error:
        code = error.errno or _ask_why(path, size_bytes)
        reason = os.strerror(code) if code else str(error)
        raise OSError(code, reason, str(path)) from error
    except Exception as error:
        if found := re.search(r"\(os error (\d+)\)", str(error)):  # as Rust's io::Error prints
            code = int(found[1])
            raise OSError(code, os.strerror(code), str(path)) from error
        raise


def _ask_why(path: Path, size_bytes: int) -> int | None:
    """The error number that the system gives to a file of this size, if it gives any."""
    try:
        with path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError as error:
        return error.errno
    return None
