"""Key files changed by a command: comments stay, and two at a time lose nothing."""

import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import tomlkit
from tomlkit.items import AoT, Array, Table

from gateway.access.key_file import KEY_PREFIX, check_name, read_key_tables
from gateway.access.keys import Key
from gateway.api_keys import InvalidKey, read_text

_KEY_BYTES = 32
_NEW_FILE_MODE = 0o600


def add_key(file: Path, name: str, choices: Mapping[str, object]) -> str:
    """The new key of this name, of which the file keeps the digest; makes the file if need be.

    choices  further fields of its table

    Raises: InvalidKey, OSError; the file is as it was then.
    """
    check_name(name)
    key = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    with _locked(file) as path:
        text = read_text(path) if path.exists() else "keys = []\n"
        if name in {known.name for known in read_key_tables(text)}:
            raise InvalidKey(f"there is a key called {name} already: revoke it, or choose another")
        document = tomlkit.parse(text)
        digest = hashlib.sha256(key.encode()).hexdigest()
        _append(document, {"name": name, "digest": f"sha256:{digest}", **choices})
        _write(path, _checked(document))
    return key


def _append(document: tomlkit.TOMLDocument, fields: Mapping[str, object]) -> None:
    """Adds a table to the keys, in brackets of its own unless the others are within a line."""
    if not document["keys"]:
        document.pop("keys")
        document["keys"] = tomlkit.aot()
    tables = document["keys"]
    assert isinstance(tables, AoT | Array)
    table = tomlkit.table() if isinstance(tables, AoT) else tomlkit.inline_table()
    table.update(fields)
    if isinstance(table, Table):
        table.trivia.indent = "\n"  # a blank line above
    tables.append(table)


def revoke_key(file: Path, name: str) -> None:
    """Takes the key of this name out of the file.

    Raises: InvalidKey, OSError; the file is as it was then.
    """
    with _locked(file) as path:
        text = read_text(path)
        names = [key.name for key in read_key_tables(text)]
        if name not in names:
            raise InvalidKey(f"there is no key called {name}")
        document = tomlkit.parse(text)
        tables = document["keys"]
        assert isinstance(tables, AoT | Array)
        del tables[names.index(name)]
        if not tables:  # which an absent table would not say on purpose
            document.pop("keys")
            document["keys"] = tomlkit.array()
        _write(path, _checked(document))


def read_keys(file: Path) -> list[Key]:
    """The keys of the file.

    Raises: InvalidKey, OSError.
    """
    return read_key_tables(read_text(file))


def _checked(document: tomlkit.TOMLDocument) -> str:
    """The text of a document that the gateway will read."""
    text = tomlkit.dumps(document).strip("\n") + "\n"
    read_key_tables(text)
    return text


@contextmanager
def _locked(file: Path) -> Iterator[Path]:
    """The file behind all links, which no other command changes meanwhile.

    The folder is locked rather than the file, which every change replaces.
    """
    path = file.resolve()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(folder)


def _write(path: Path, text: str) -> None:
    """Replaces the file in one step that survives a loss of power; mode and owner stay."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode())
            _keep_access(path, descriptor)
            file.flush()
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def _keep_access(path: Path, descriptor: int) -> None:
    try:
        before = os.stat(path)
    except FileNotFoundError:
        os.fchmod(descriptor, _NEW_FILE_MODE)
        return
    if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, before.st_mode & 0o7777)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
