"""Key files as a test needs them."""

import hashlib
import json
from pathlib import Path

from gateway.access.key_file import parse_keys
from gateway.access.keys import Key
from gateway.api_keys import read_text


def key_table(key: str, **fields: object) -> str:
    """The table of a key in a file, called by the key in small letters."""
    digest = f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    table = {"name": key.lower(), "digest": digest} | fields
    return "\n".join(["[[keys]]", *(f"{k} = {_toml(v)}" for k, v in table.items()), "", ""])


def _toml(value: object) -> str:
    return value if isinstance(value, Bare) else json.dumps(value)


class Bare(str):
    """What stands in TOML as it is, such as a date."""


def write_keys(file: Path, *tables: str) -> str:
    """Writes a key file; gives its path as settings take it."""
    file.write_text("".join(tables))
    return str(file)


def read_keys_of(file: Path) -> list[Key]:
    """The keys of a file of either kind."""
    return parse_keys(file, read_text(file))
