"""Key files as operators write them → keys, or one sentence about the entry that is wrong.

A file that ends in .toml says what each key may do:

    [[keys]]
    name = "indexer"
    digest = "sha256:<64 hexadecimal digits>"
    models = ["org/model"]           # absent: every model
    requests_per_minute = 600        # absent: no limit
    tokens_per_minute = 1_000_000    # absent: no limit
    expires = 2027-01-01             # from that day on, UTC, or a moment with its offset

Any other file has one key a line. No message holds what was written as a key.
"""

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from gateway.access.keys import Key, unnamed_key
from gateway.api_keys import InvalidKey, is_toml, read_digest, read_key_lines

# Of names, which are labels of metrics and fields of logs.
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
# By which a key is recognised, by people and by scanners of leaked secrets.
KEY_PREFIX = "te-"
# Above it a limit of Redis would not count exactly.
MAX_LIMIT = 10**12

_FIELDS = ("name", "digest", "models", "requests_per_minute", "tokens_per_minute", "expires")


def parse_keys(file: Path, text: str) -> list[Key]:
    """The keys of a text that stood in a file.

    Raises: InvalidKey.
    """
    if is_toml(file):
        return read_key_tables(text)
    return [unnamed_key(entry.digest) for entry in read_key_lines(text)]


def read_key_tables(text: str) -> list[Key]:
    """The keys of a TOML file; none if it says `keys = []`.

    Raises: InvalidKey.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        place = re.search(r"\(at ([a-z0-9, ]+)\)$", str(error))
        raise InvalidKey(f"it is not TOML{f' ({place[1]})' if place else ''}") from None
    if set(document) - {"keys"}:
        raise InvalidKey("it holds something beside [[keys]]")
    tables = document.get("keys")
    if tables is None:
        raise InvalidKey("it holds no key: write [[keys]], or keys = [] if nobody is to be let in")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidKey("keys are no tables: write [[keys]] above each")
    keys = [_read_key(table, place) for place, table in enumerate(tables, start=1)]
    _check_twice(keys)
    return keys


def check_name(name: object) -> str:
    """A name that may stand in logs and metrics.

    Raises: InvalidKey.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidKey("a name has 1 to 64 characters of A-Z a-z 0-9 . _ -")
    if name.startswith(KEY_PREFIX) or re.fullmatch("[0-9a-fA-F]{32,}", name):
        raise InvalidKey(f"a name is no key or digest: {KEY_PREFIX} is how keys begin")
    return name


def _read_key(table: Mapping[str, Any], place: int) -> Key:
    try:
        name = check_name(table.get("name"))
    except InvalidKey as error:
        raise InvalidKey(f"key {place} has no such name as it must: {error}") from None
    if hashlib.sha256(name.encode()).digest() == read_digest(str(table.get("digest"))):
        raise InvalidKey(f"key {place} is called by itself: logs and metrics would tell it")
    try:
        if set(table) - set(_FIELDS):
            raise InvalidKey(f"something that is none of {', '.join(_FIELDS)}")
        return Key(
            name=name,
            digest=_read_digest(table.get("digest")),
            models=_read_models(table.get("models")),
            requests_per_minute=_read_limit(table, "requests_per_minute"),
            tokens_per_minute=_read_limit(table, "tokens_per_minute"),
            expires=read_expiry(table.get("expires")),
        )
    except InvalidKey as error:
        raise InvalidKey(f"key {place}, {name}, has {error}") from None


def _read_digest(written: object) -> bytes:
    digest = read_digest(written) if isinstance(written, str) else None
    if digest is None:
        raise InvalidKey("a digest that is not sha256: and 64 hexadecimal digits")
    return digest


def _read_models(written: object) -> frozenset[str] | None:
    if written is None:
        return None
    if not isinstance(written, list) or not all(isinstance(model, str) for model in written):
        raise InvalidKey("models that are no list of ids, each in quotes")
    if not written:
        raise InvalidKey("an empty list of models: leave it out for every model")
    return frozenset(written)


def _read_limit(table: Mapping[str, Any], field: str) -> int | None:
    limit = table.get(field)
    if limit is None:
        return None
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:  # True is an int, too
        raise InvalidKey(f"a {field} that is no whole number from 1 to {MAX_LIMIT}")
    return limit


def read_expiry(written: object) -> datetime | None:
    """The moment that a date or a moment of TOML means.

    Raises: InvalidKey if it depends on where one is.
    """
    match written:
        case None:
            return None
        case datetime(tzinfo=None):
            raise InvalidKey("an expiry without an offset: end it in Z or +01:00")
        case datetime():
            return written
        case date():
            return datetime.combine(written, time(), UTC)
    raise InvalidKey("an expiry that is no date such as 2027-01-01, without quotes")


def _check_twice(keys: Iterable[Key]) -> None:
    names, digests = Counter[str](), dict[bytes, str]()
    for key in keys:
        names[key.name] += 1
        if names[key.name] > 1:
            raise InvalidKey(f"two keys are called {key.name}")
        if key.digest in digests:
            raise InvalidKey(f"{digests[key.digest]} and {key.name} have the same digest")
        digests[key.digest] = key.name
