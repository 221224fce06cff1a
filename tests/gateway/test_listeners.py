"""The sockets that the gateway listens on."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.listeners import ATTEMPTS, Address, listen_at, listen_on, open_listeners

V4, V6 = socket.AF_INET, socket.AF_INET6
ONE: Address = (V4, ("127.0.0.1", 0))
OTHER: Address = (V4, ("127.0.0.2", 0))  # all of 127/8 is this machine
IPV6: Address = (V6, ("::1", 0, 0, 0))
ELSEWHERE: Address = (V4, ("203.0.113.1", 0))
NOWHERE: Address = (V6, ("2001:db8::1", 0, 0, 0))


def has_ipv6() -> bool:
    try:
        listen_at(*IPV6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="IPv6 is switched off")


@contextmanager
def closing(listeners: list[socket.socket]) -> Iterator[list[tuple[str, int]]]:
    """Address and port of each; closed with the block."""
    try:
        yield [listener.getsockname()[:2] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def free_port() -> int:
    with closing(listen_on([ONE], 0)) as [(_, port)]:
        return port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104
@pytest.mark.parametrize("is_free", [True, False])
def test_a_name_is_listened_on_where_it_stands_for(host: str, is_free: bool) -> None:
    port = 0 if is_free else free_port()
    with closing(open_listeners(host, port)) as addresses:
        expected = {found[4][0] for found in socket.getaddrinfo(host, 0, V4)}
        assert expected <= {address for address, _ in addresses}
        assert len({listening for _, listening in addresses}) == 1
        socket.create_connection(("127.0.0.1", addresses[0][1]), 5).close()


@needs_ipv6
@pytest.mark.parametrize("is_free", [True, False])
def test_every_address_has_the_same_port(is_free: bool) -> None:
    port = 0 if is_free else free_port()
    with closing(listen_on([ONE, OTHER, ONE, IPV6], port)) as addresses:
        assert [address for address, _ in addresses] == ["127.0.0.1", "127.0.0.2", "::1"]
        ports = {listening for _, listening in addresses}
        assert len(ports) == 1
        assert port in ports or is_free


@pytest.mark.parametrize("lacking", [ELSEWHERE, NOWHERE], ids=["ipv4", "ipv6"])
def test_an_address_that_the_machine_lacks_is_passed_over(lacking: Address) -> None:
    for addresses in ([lacking, ONE], [ONE, lacking]):
        with closing(listen_on(addresses, 0)) as [(address, _)]:
            assert address == "127.0.0.1"


def test_an_address_that_is_taken_is_not_passed_over() -> None:
    with closing(listen_on([OTHER], 0)) as [(_, port)]:
        with pytest.raises(OSError, match="Address already in use"):
            listen_on([ONE, OTHER], port)
        with closing(listen_on([ONE], port)):  # nothing was left open
            pass


@pytest.mark.parametrize("collisions", [1, ATTEMPTS - 1, ATTEMPTS])
def test_a_port_that_is_free_on_one_address_only_is_given_back(collisions: int) -> None:
    tried: list[socket.socket] = []

    def listen(family: socket.AddressFamily, address: Any) -> socket.socket:
        """Finds the port taken on the second address, a number of times."""
        if address[0] == "127.0.0.2" and len(tried) <= collisions:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        tried.append(listen_at(family, address))
        return tried[-1]

    if collisions < ATTEMPTS:
        with closing(listen_on([ONE, OTHER], 0, listen)) as addresses:
            assert len(addresses) == 2
    else:
        with pytest.raises(OSError, match="Address already in use"):
            listen_on([ONE, OTHER], 0, listen)
    assert [listener.fileno() for listener in tried] == [-1] * len(tried)


def test_a_port_that_was_asked_for_is_tried_once() -> None:
    refusals = [OSError(errno.EADDRINUSE, "Address already in use")]

    def listen(family: socket.AddressFamily, address: Any) -> socket.socket:
        raise refusals.pop()

    with pytest.raises(OSError, match="Address already in use"):
        listen_on([ONE], 8000, listen)


@needs_ipv6
def test_both_families_listen_at_two_colons() -> None:
    with closing(open_listeners("::", 0)) as [(_, port)]:
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), 5).close()


@needs_ipv6
def test_one_address_of_ipv6_is_not_ipv4() -> None:
    with closing(open_listeners("::1", 0)) as [(_, port)], pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("203.0.113.1", 8000, "Cannot assign requested address"),
        ("no.such.host.invalid", 8000, "."),
        ("a" * 70, 8000, "this is no host name"),
    ],
)
def test_what_cannot_be_listened_on_is_one_sentence(host: str, port: int, reason: str) -> None:
    with pytest.raises(OSError, match=rf"^cannot listen on {host}:{port}: [^\n]*{reason}") as told:
        open_listeners(host, port)
    assert "\n" not in str(told.value)
