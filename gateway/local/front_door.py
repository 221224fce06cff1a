"""The gateway as the person who started it sees it: the key, the address, a first request."""

import json
import logging
import os
import secrets
import shlex
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.api_keys import InvalidKey, KeyEntry, is_toml, read_key_file, read_keys
from gateway.local.triton_process import LOOPBACK
from gateway.local.triton_wheel import CannotServe

VARIABLE = "GATEWAY_API_KEYS"
FILE_VARIABLE = "GATEWAY_API_KEYS_FILE"
# Where somebody whose key is known by its digest only can put it for the printed line.
OWN_KEY = "$API_KEY"

ASK_SECONDS = 0.3  # between two questions whether there is a model

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What opens the gateway, as far as it is known here.

    home   where it is kept, or why it is nowhere, in words
    shell  what a shell replaces by the key; empty if none is asked for
    key    empty if only its owner knows it
    file   a file of keys that the settings are to read, or none
    """

    home: str
    shell: str
    key: str = field(default="", repr=False)
    file: str = ""


def find_api_key(environ: Mapping[str, str], file: Path) -> ApiKey:
    """The first key that the operator gives, or one that is made at the first start.

    file  where that one is kept; nothing is made if the environment holds a key, or its digest

    Raises: CannotServe.
    """
    if environ.get("GATEWAY_AUTH") == "off":
        return ApiKey("none is asked for", "")
    given = _read_variable(environ.get(VARIABLE, ""))
    named = environ.get(FILE_VARIABLE, "")
    if not given:
        file = Path(named) if named else file
        return _from_file(file, may_make=not named)
    for entry in given:
        if not entry.is_digest:
            return ApiKey(f"in {VARIABLE}", _of_this_process(entry), entry.text, named)
    if named:
        return _from_file(Path(named), may_make=False)
    return ApiKey(f"yours; {VARIABLE} holds its digest", OWN_KEY)


def _read_variable(text: str) -> list[KeyEntry]:
    try:
        return read_keys(text)
    except InvalidKey as error:
        raise CannotServe(f"{VARIABLE}: {error}") from error


def _of_this_process(entry: KeyEntry) -> str:
    """Reads a key out of the environment that this process was started with."""
    return (
        f"$(tr '\\0' '\\n' < /proc/{os.getpid()}/environ"
        f" | sed -n 's/^{VARIABLE}=//p' | cut -d , -f {entry.place})"
    )


def _from_file(file: Path, may_make: bool) -> ApiKey:
    if is_toml(file):  # digests only; what is wrong with it the gateway says at its start
        return ApiKey(f"yours; {file.absolute()} holds its digest", OWN_KEY, file=str(file))
    try:
        if may_make and not file.exists():
            _make_key(file)
        entries = read_key_file(file)
    except InvalidKey as error:
        raise CannotServe(f"{file} is no file of API keys: {error}.") from error
    except OSError as error:
        raise CannotServe(f"{file} cannot be read: {error.strerror}.") from error
    path = file.absolute()
    for entry in entries:
        if not entry.is_digest:
            shell = f"$(sed -n '{entry.place}s/[[:space:]]*$//p' {shlex.quote(str(path))})"
            return ApiKey(f"in {path}", shell, entry.text, str(file))
    return ApiKey(f"yours; {path} holds its digest", OWN_KEY, file=str(file))


def _make_key(file: Path) -> None:
    """For the eyes of this user only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(f"te-{secrets.token_urlsafe(24)}\n")


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """The gateway as a client on this machine sees it."""

    host: str
    port: int
    api_key: ApiKey
    scheme: str = "http"

    @property
    def address(self) -> str:
        """Host and port to connect to, also when the gateway listens on every address."""
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def curl(self, model: str, shows_key: bool) -> str:
        """A first request as a line for the shell, with the key or with what reads it."""
        body = json.dumps({"model": model, "input": "Hello, world"})
        words = ["curl", "-s", f"{self.scheme}://{self.address}/v1/embeddings"]
        line = shlex.join([*words, "-H", "Content-Type: application/json", "-d", body])
        if shows_key and self.api_key.key:
            return f"{line} -H {shlex.quote(f'Authorization: Bearer {self.api_key.key}')}"
        if self.api_key.shell:
            return f'{line} -H "Authorization: Bearer {self.api_key.shell}"'
        return line

    def banner(self, models: list[str], shows_key: bool) -> str:
        """How to use the gateway.

        shows_key  whether the key itself may stand in it
        """
        home = self.api_key.home
        key = f"{self.api_key.key} (kept {home})" if shows_key and self.api_key.key else home
        return (
            f"\nReady at {self.scheme}://{self.address}\n"
            f"  models   {', '.join(models)}\n"
            f"  API key  {key}\n"
            f"  try      {self.curl(models[0], shows_key)}\n"
            "  end      Ctrl-C\n"
        )


def announce(
    front_door: FrontDoor, models: Callable[[], list[str]], stopping: threading.Event
) -> None:
    """Says how to use the gateway, once it has models; the key is told to a terminal only.

    What is written elsewhere is a log, of a container for example, and read by others.
    """
    while not (served := models()):
        if stopping.wait(ASK_SECONDS):
            return
    say(front_door.banner(served, shows_key=sys.stdout.isatty()))


def say(line: str) -> None:
    """Prints, as long as somebody reads: `make serve | head` must not end the service."""
    try:
        print(line, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left goes nowhere
        logger.warning("nobody reads what is printed: %s", error.strerror)
