"""python -m gateway keys: add, list and revoke keys of a key file."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from gateway.access.key_edit import add_key, read_keys, revoke_key
from gateway.access.key_file import read_expiry
from gateway.access.keys import Key
from gateway.api_keys import InvalidKey, is_toml
from gateway.settings import PREFIX

_VARIABLE = f"{PREFIX}API_KEYS_FILE"


def main(arguments: Sequence[str]) -> None:
    """Does what the arguments say; what cannot be done ends in one sentence, with code 1."""
    options = _parser().parse_args(arguments)
    file: Path | None = options.file
    try:
        if file is None:
            raise InvalidKey(f"name a key file with --file, or in {_VARIABLE}")
        if not is_toml(file):
            raise InvalidKey(f"{file} does not end in .toml: keys are kept in such a file only")
        options.action(file, options)
    except InvalidKey as error:
        sys.exit(f"Cannot do that: {error}.")
    except OSError as error:
        sys.exit(f"Cannot do that: {file}: {error.strerror}.")


def _add(file: Path, options: argparse.Namespace) -> None:
    models = [name for listed in options.models for name in listed.split(",") if name]
    choices = {
        "models": models or None,
        "requests_per_minute": options.requests_per_minute,
        "tokens_per_minute": options.tokens_per_minute,
        "expires": _read_expires(options.expires) if options.expires else None,
    }
    chosen = {field: value for field, value in choices.items() if value is not None}
    key = add_key(file, options.name, chosen)
    print(f"{options.name} is in {file} now; its key is shown this once:", file=sys.stderr)
    print(key)


def _read_expires(text: str) -> date:
    """A date, or a moment with its offset.

    Raises: InvalidKey.
    """
    try:
        written = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError:
        raise InvalidKey(
            "an expiry is a date such as 2027-01-01 or a moment such as 2027-01-01T12:00:00Z"
        ) from None
    moment = read_expiry(written)
    assert moment is not None
    if moment <= datetime.now(UTC):
        raise InvalidKey("this expiry is past already")
    return written


def _list(file: Path, options: argparse.Namespace) -> None:
    keys = read_keys(file)
    head = ("NAME", "DIGEST", "MODELS", "REQUESTS/MIN", "TOKENS/MIN", "EXPIRES")
    rows = [head, *map(_row, keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def _row(key: Key) -> tuple[str, ...]:
    expires = "never"
    if key.expires is not None:
        is_over = key.expires <= datetime.now(UTC)
        expires = f"{key.expires.isoformat()}{', expired' if is_over else ''}"
    return (
        key.name,
        key.digest.hex()[:8],
        ",".join(sorted(key.models)) if key.models else "every",
        str(key.requests_per_minute or "no limit"),
        str(key.tokens_per_minute or "no limit"),
        expires,
    )


def _revoke(file: Path, options: argparse.Namespace) -> None:
    revoke_key(file, options.name)
    print(f"{options.name} is not in {file} any more.", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway keys",
        description="Keys of a file that ends in .toml; a running gateway takes up what changes.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--file",
        type=Path,
        default=os.environ.get(_VARIABLE) or None,
        help=f"key file; {_VARIABLE} if absent",
    )
    add = actions.add_parser("add", parents=[shared], help="make a key and print it once")
    add.set_defaults(action=_add)
    add.add_argument("name", metavar="NAME", help="1 to 64 characters of A-Z a-z 0-9 . _ -")
    add.add_argument(
        "--models",
        nargs="+",
        default=[],
        metavar="ID",
        help="models that it may use, by their ids; every model if absent",
    )
    for unit in ("requests", "tokens"):
        add.add_argument(
            f"--{unit}-per-minute", type=int, metavar="N", help=f"limit in {unit}; none if absent"
        )
    add.add_argument(
        "--expires", metavar="DATE", help="from when on it is refused: 2027-01-01, in UTC"
    )
    listing = actions.add_parser("list", parents=[shared], help="what keys there are")
    listing.set_defaults(action=_list)
    revoke = actions.add_parser("revoke", parents=[shared], help="take a key out of the file")
    revoke.set_defaults(action=_revoke)
    revoke.add_argument("name", metavar="NAME")
    return parser
