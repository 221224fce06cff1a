"""The cluster's name server: the headless Service as one A record for each of its endpoints."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from dnslib import QTYPE, RCODE, RR, A, DNSRecord

TTL_SECONDS = 30  # kubeadm's CoreDNS


class NameServer(asyncio.DatagramProtocol):
    """Answers from what it is given; like CoreDNS with a cache it may be late.

    names          fully qualified name without its last dot → addresses, read at each look-up
    cache_seconds  how long an answer is given again; 0 is none
    """

    def __init__(
        self, names: Callable[[], Mapping[str, Sequence[str]]], cache_seconds: float
    ) -> None:
        self._names = names
        self._cache_seconds = cache_seconds
        self._cached: dict[str, tuple[float, Sequence[str] | None]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(self.answer(data), addr)

    def answer(self, question: bytes) -> bytes:
        """NXDOMAIN for a name without endpoints, as CoreDNS."""
        asked = DNSRecord.parse(question)
        reply = asked.reply()
        name = str(asked.q.qname).rstrip(".")
        addresses = self._look_up(name)
        if addresses is None:
            reply.header.rcode = RCODE.NXDOMAIN
        elif asked.q.qtype == QTYPE.A:
            for address in addresses:
                reply.add_answer(RR(name, QTYPE.A, rdata=A(address), ttl=TTL_SECONDS))
        return bytes(reply.pack())

    def _look_up(self, name: str) -> Sequence[str] | None:
        since, addresses = self._cached.get(name, (-1e9, None))
        now = time.monotonic()
        if now - since >= self._cache_seconds:
            addresses = self._names().get(name) or None
            self._cached[name] = now, addresses
        return addresses
