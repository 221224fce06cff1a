"""Where the Tritons are: addresses as an operator writes them, and names that stand for several.

host:8001                 one Triton; gRPC finds the host
10.0.0.1:8001,10.0.0.2:8001    two of them
dns:///triton:8001        one for each address of the name, which is asked for again and again
"""

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from gateway.settings import SettingsError

# Seconds between two questions for the addresses of a name: a pod is found while it still loads.
RESOLVE_SECONDS = 2.0
# Seconds after which a name is asked for again when a Triton is lost.
LOSS_SECONDS = 0.2
# Seconds that a gateway which has just started waits for its first answer.
FIRST_SECONDS = 2.0
VARIABLE = "GATEWAY_TRITON_ADDRESS"

_WITH_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):(\d{1,5})")
_OTHER_TARGET = re.compile(r"(unix|unix-abstract|ipv4|ipv6|vsock):\S+")

# Raises: OSError.
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]  # host and port → addresses

logger = logging.getLogger(__name__)


class Name(NamedTuple):
    """A name each address of which is a Triton of its own."""

    host: str
    port: int


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name as the system knows them, with their port.

    Raises: OSError.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    hosts = {str(address[0]) for _, _, _, _, address in found}
    return sorted(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts)


class Addresses:
    """The Tritons that one setting names.

    text  as above

    Raises: SettingsError.
    """

    def __init__(self, text: str, resolve: Resolve = resolve) -> None:
        words = [word.strip() for word in text.split(",")]
        self._fixed = [word for word in words if not word.startswith("dns:")]
        for word in self._fixed:
            _check(word)
        self._names = [_read_name(word) for word in words if word.startswith("dns:")]
        self._known: dict[Name, list[str]] = {}
        self._resolve = resolve
        self._is_lost = asyncio.Event()
        self._is_looked_up = asyncio.Event()

    @property
    def are_fixed(self) -> bool:
        """Whether they never change."""
        return not self._names

    def known(self) -> dict[str, str]:
        """Address → the host that its certificate is for, of all that are known now."""
        fixed = {address: "" for address in self._fixed}
        return fixed | {
            address: name.host for name, found in self._known.items() for address in found
        }

    async def wait(self) -> None:
        """Until every name was looked up once, while they are followed; for a while at most."""
        if self._names:
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_SECONDS):
                    await self._is_looked_up.wait()

    def note_loss(self) -> None:
        """A Triton was lost, which may have moved."""
        self._is_lost.set()

    async def follow(self, tell: Callable[[dict[str, str]], None]) -> None:
        """Tells the addresses whenever they are others than before, for ever."""
        told: dict[str, str] | None = None
        while True:
            for name in self._names:
                await self._look_up(name)
            if (known := self.known()) != told:
                tell(known)
                told = known
            self._is_looked_up.set()
            try:
                async with asyncio.timeout(RESOLVE_SECONDS):
                    await self._is_lost.wait()
                await asyncio.sleep(LOSS_SECONDS)
            except TimeoutError:
                pass
            self._is_lost.clear()

    async def _look_up(self, name: Name) -> None:
        """A name that cannot be resolved keeps its addresses."""
        try:
            found = await self._resolve(name.host, name.port)
        except OSError as error:
            logger.warning("%s cannot be resolved: %s", name.host, error.strerror or error)
            return
        if found:
            self._known[name] = found


def _check(address: str) -> None:
    match = _WITH_PORT.fullmatch(address)
    if not (match and int(match[2]) < 2**16) and not _OTHER_TARGET.fullmatch(address):
        raise SettingsError(f"{VARIABLE} holds {address!r}, which is no host:port")


def _read_name(word: str) -> Name:
    match = _WITH_PORT.fullmatch(word.removeprefix("dns:///"))
    if not match or not word.startswith("dns:///"):
        raise SettingsError(
            f"{VARIABLE} holds {word!r}: a name is dns:///name:port, and the system resolves it"
        )
    return Name(match[1], int(match[2]))
