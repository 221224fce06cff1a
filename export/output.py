"""The output while an export works on it: locked, staged aside, switched by one rename.

lock     on the output's folder, so that one export at a time works on it
stage    in a folder of this export alone, beside the output or, where that cannot be, in it
publish  the steps first, whose names are new; then the ensemble, which is the switch
sweep    what no ensemble refers to any more
"""

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from export.contents import Holdings, ensembles
from export.errors import RepositoryConflict

Report = Callable[[str], None]

LOCK = "export.lock"  # in a staging folder: who holds it is alive
_NO_REPLACE, _EXCHANGE = 1, 2  # linux/fs.h
_AT_FDCWD = -100  # linux/fcntl.h


@contextmanager
def locked(output: Path, report: Report) -> Iterator[Path]:
    """The output's folder, made if need be, for this export alone until the block ends.

    What was made and holds nothing in the end is removed.

    Raises: OSError if it is no folder, or cannot be made or locked.
    """
    folder = output.resolve()
    descriptor, made = _own(folder, report)
    try:
        yield folder
    finally:
        with suppress(OSError):  # it holds something
            for path in made:
                path.rmdir()
        os.close(descriptor)


def _own(folder: Path, report: Report) -> tuple[int, list[Path]]:
    """The locked folder's descriptor, and the folders made for it, deepest first."""
    while True:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        with suppress(FileNotFoundError):  # whoever made it before us has removed it
            for path in reversed(made):
                path.mkdir(exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            _lock(descriptor, folder, report)
            if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor, made
            os.close(descriptor)


def _lock(descriptor: int, folder: Path, report: Report) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        report(f"Waiting for another export into {folder}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        reason = f"{error.strerror}, when locking it against other exports"
        raise OSError(error.errno, reason, str(folder)) from error


@contextmanager
def staging(output: Path) -> Iterator[Path]:
    """A folder of this export alone, on the file system of the output; gone when the block ends.

    Those that killed exports left are removed.
    """
    remove_leftovers(output)
    staged = _make_staging(output)
    try:
        with (staged / LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _make_staging(output: Path) -> Path:
    """Beside the output: Triton would take it for a model; in it only where nothing else is left.

    That is where the output is a mount point, or its parent cannot be written.
    """
    name = f".{output.name}.staging-{secrets.token_hex(4)}"
    beside = output.parent / name
    with suppress(OSError):
        beside.mkdir()
        if _can_rename(output, beside):
            return beside
        beside.rmdir()
    (output / name).mkdir()
    return output / name


def _can_rename(source: Path, target: Path) -> bool:
    """Whether a rename leads from one folder into another, asked with a name that is not there."""
    try:
        (source / target.name).rename(target / target.name)
    except OSError as error:
        return error.errno != errno.EXDEV
    return True


def remove_leftovers(output: Path) -> None:
    """Remove staging folders of exports that were killed."""
    pattern = re.compile(rf"\.{re.escape(output.name)}\.staging-[0-9a-f]{{8}}")
    for parent in (output.parent, output):
        with suppress(OSError):  # a parent that cannot be listed holds no staging folder
            for folder in list(parent.iterdir()):
                if pattern.fullmatch(folder.name) and _is_dead(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_dead(folder: Path) -> bool:
    """Whether the export of a staging folder has ended: nobody holds its lock."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return not any(folder.iterdir())
    except OSError:
        return False
    return True


def publish(staged: Path, output: Path, ensemble: str, folders: Collection[str]) -> None:
    """Put the folders of a model into the output, the ensemble last: that is the switch.

    What they replace is found in the staged folder afterwards.

    Raises: RepositoryConflict, OSError; before the switch the model is the one that was.
    """
    for folder in (*sorted(set(folders) - {ensemble}), ensemble):
        _place(staged / folder, output / folder)


def _place(source: Path, target: Path) -> None:
    """Rename a folder, or exchange it with the one that is there."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _EXCHANGE if target.exists() else _NO_REPLACE
    if not libc.renameat2(_AT_FDCWD, bytes(source), _AT_FDCWD, bytes(target), flags):
        return
    code = ctypes.get_errno()
    if code == errno.EEXIST:
        raise RepositoryConflict(f"{target} appeared during the export: move it away")
    if code in (errno.EINVAL, errno.ENOSYS):
        raise RepositoryConflict(
            f"{target} cannot be put in place by one rename on this file system "
            f"({errno.errorcode[code]}): choose an output on a local one"
        )
    raise OSError(code, os.strerror(code), str(target))


def sweep(held: Holdings, kept: Collection[str], trash: Path, report: Report) -> tuple[str, ...]:
    """Move what exports of a model wrote and nothing refers to any more out of the output.

    kept     folders of the model as it is now
    trash    a staging folder
    returns  the folders that are gone
    """
    doomed = held.folders - set(kept)
    referred = {
        step
        for ensemble in ensembles(held.output)
        if ensemble.folder not in doomed
        for step in ensemble.steps
    }
    gone = []
    for folder in sorted(doomed - referred):
        if foreign := held.foreign_file(folder):
            report(f"{held.output / folder} is left: {foreign.name} was not written by an export")
            continue
        (held.output / folder).rename(trash / f"swept-{folder}")
        gone.append(folder)
    return tuple(gone)
