"""API keys as an operator writes them → entries with digests, or what is wrong with one.

No message holds any of what was written: it may be a key.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Of a key, in a head that may have 64 KiB.
MAX_CHARACTERS = 4096
# Of a file: tens of thousands of keys with all that can be said of them.
MAX_FILE_BYTES = 16 * 1024 * 1024

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)
# What was meant to be a digest: another separator, quotes around, a line of sha256sum.
_LIKE_A_DIGEST = re.compile(r"\W*sha\W?256|[0-9a-f]{64}\s", re.IGNORECASE)
_QUOTES = "\"'`"


class InvalidKey(ValueError):
    """Written like this, a key would let nobody in; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key, or the digest of one.

    place  of this entry among all, from 1: a line of the file, or a field between commas
    text   as it was written, without space around
    """

    place: int
    text: str = field(repr=False)

    @property
    def is_digest(self) -> bool:
        """Whether the key itself is known to its owner only."""
        return _DIGEST.fullmatch(self.text) is not None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the key."""
        return read_digest(self.text) or hashlib.sha256(self.text.encode()).digest()


def read_digest(text: str) -> bytes | None:
    """The digest that `sha256:<hex>` stands for; None if it is something else."""
    match = _DIGEST.fullmatch(text)
    return bytes.fromhex(match[1]) if match else None


def is_toml(path: Path) -> bool:
    """Whether a key file says what each key may do, rather than have one a line."""
    return path.suffix.lower() == ".toml"


def read_keys(text: str) -> list[KeyEntry]:
    """The keys between commas; empty fields are nothing.

    Raises: InvalidKey.
    """
    return [_checked(entry, "key") for entry in _entries(text.split(","))]


def read_key_file(path: Path) -> list[KeyEntry]:
    """The keys of a file, one a line; `#` begins a comment line.

    Raises: InvalidKey, also if there is none, OSError.
    """
    return read_key_lines(read_text(path))


def read_text(path: Path) -> str:
    """What a key file holds, without a byte order mark.

    Raises: InvalidKey, OSError.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InvalidKey("it is no regular file")
        written = file.read(MAX_FILE_BYTES + 1)
    if len(written) > MAX_FILE_BYTES:
        raise InvalidKey(f"it has more than {MAX_FILE_BYTES} bytes")
    try:
        return written.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidKey("it is not text in UTF-8") from error


def _open_at_once(path: str, flags: int) -> int:
    """Opens a named pipe, too, without waiting for somebody to write."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_key_lines(text: str) -> list[KeyEntry]:
    """The keys of a text, one a line; `#` begins a comment line.

    Raises: InvalidKey, also if there is none.
    """
    entries = [entry for entry in _entries(text.split("\n")) if not entry.text.startswith("#")]
    if not entries:
        raise InvalidKey("it holds no key")
    for entry in entries:
        if "," in entry.text:
            raise InvalidKey(f"line {entry.place} has a comma: write one key a line")
    return [_checked(entry, "line") for entry in entries]


def _entries(fields: Iterable[str]) -> Iterator[KeyEntry]:
    for place, text in enumerate(fields, start=1):
        if text.strip():
            yield KeyEntry(place, text.strip())


def _checked(entry: KeyEntry, kind: str) -> KeyEntry:
    """The entry.

    Raises: InvalidKey if no client could send such a key, or it was meant to be something else.
    """
    text = entry.text
    if _LIKE_A_DIGEST.match(text) and not entry.is_digest:
        wrong = "looks like a digest and is none: write sha256: and 64 hexadecimal digits"
    elif text[0] in _QUOTES or text[-1] in _QUOTES:
        wrong = "is quoted: write it without quotes, which would be part of it"
    elif text.lower().startswith("bearer "):
        wrong = "begins with Bearer, which clients put before it: leave that out"
    elif len(text) > MAX_CHARACTERS:
        wrong = f"has more than {MAX_CHARACTERS} characters: no client could send it"
    elif not text.isprintable():
        wrong = "has a character that no client could send"
    else:
        return entry
    raise InvalidKey(f"{kind} {entry.place} {wrong}")
