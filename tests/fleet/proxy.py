"""A real haproxy before the gateways, as an ingress controller keeps it: told of each endpoint."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

SLOTS = 8
PLAIN_PORT, REPEATING_PORT = 8080, 8081
PLAIN_URL, REPEATING_URL = (f"http://127.0.0.1:{port}" for port in (PLAIN_PORT, REPEATING_PORT))

# `plain` sends again only what it could not send, which is haproxy's default; `repeating` also
# what was sent and had no answer when the connection broke.
CONFIGURATION = """
global
  stats socket {socket} level admin
defaults
  mode http
  timeout connect 2s
  timeout client 70s
  timeout server 70s
  retries 3
  option redispatch 1
frontend plain
  bind 127.0.0.1:{plain}
  default_backend plain
frontend repeating
  bind 127.0.0.1:{repeating}
  default_backend repeating
backend plain
  balance roundrobin
  server-template pod 1-{slots} 127.0.0.1:1 disabled
backend repeating
  balance roundrobin
  option http-buffer-request
  retry-on conn-failure empty-response
  server-template pod 1-{slots} 127.0.0.1:1 disabled
"""


class Proxy:
    """haproxy in the foreground, and the endpoints that it has.

    folder  for its configuration, its log and its socket
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slots: dict[str, int] = {}  # endpoint → number of its server
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        file = self._folder / "haproxy.cfg"
        file.write_text(
            CONFIGURATION.format(
                socket=self._socket, plain=PLAIN_PORT, repeating=REPEATING_PORT, slots=SLOTS
            )
        )
        with (self._folder / "haproxy.log").open("wb") as log:
            await asyncio.create_subprocess_exec(
                "haproxy", "-f", str(file), "-db", stdout=log, stderr=log
            )
        while not self._socket.exists():
            await asyncio.sleep(0.05)

    async def serve(self, endpoints: Sequence[str]) -> None:
        """From now on these get calls, each `address:port`, and no others."""
        async with self._lock:
            for gone in set(self._slots) - set(endpoints):
                await self._tell(self._slots.pop(gone), "state maint")
            for endpoint in endpoints:
                if endpoint not in self._slots:
                    number = next(n for n in range(1, SLOTS + 1) if n not in self._slots.values())
                    self._slots[endpoint] = number
                    address, port = endpoint.split(":")
                    await self._tell(number, f"addr {address} port {port}", "state ready")

    @property
    def _socket(self) -> Path:
        return self._folder / "haproxy.sock"

    async def _tell(self, number: int, *words: str) -> None:
        for backend in ("plain", "repeating"):
            for word in words:
                reader, writer = await asyncio.open_unix_connection(self._socket)
                writer.write(f"set server {backend}/pod{number} {word}\n".encode())
                said = (await reader.read()).decode().strip()
                writer.close()
                assert not said or "changed" in said or "no need" in said, said
