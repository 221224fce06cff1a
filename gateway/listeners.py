"""The sockets that the gateway listens on: all that a host name stands for, on one port."""

import errno
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
Listen = Callable[[socket.AddressFamily, tuple[Any, ...]], socket.socket]

BACKLOG = 2048
# How often a free port of one address may be taken on the next.
ATTEMPTS = 20

# Of an address that this machine has not: IPv6 is switched off, or the name is also another's.
_LACKING = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def open_listeners(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of `host`; `::` is every address of both families.

    port  0 takes one that is free on all of them

    Raises: OSError with one sentence for the operator.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return listen_on([(family, address) for family, _, _, _, address in found], port)
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    except UnicodeError as error:  # a word of more than 63 letters
        raise OSError(f"cannot listen on {host}:{port}: this is no host name") from error


def listen_at(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    """A listening socket at one address.

    Raises: OSError.
    """
    is_everything = address[0] == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(
        address, family=family, backlog=BACKLOG, dualstack_ipv6=is_everything
    )


def listen_on(
    addresses: Sequence[Address], port: int, listen: Listen = listen_at
) -> list[socket.socket]:
    """A listening socket for each address; those that the machine lacks are passed over.

    Raises: OSError if one is taken, or none is the machine's.
    """
    attempts_left = 1 if port else ATTEMPTS
    while True:
        attempts_left -= 1
        try:
            return _listen_once(addresses, port, listen)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not attempts_left:
                raise


def _listen_once(addresses: Sequence[Address], port: int, listen: Listen) -> list[socket.socket]:
    lacking: OSError | None = None
    listeners: list[socket.socket] = []
    with ExitStack() as stack:  # closes them unless all could be opened
        for family, address in dict.fromkeys(addresses):
            try:
                listener = listen(family, (address[0], port, *address[2:]))
            except OSError as error:
                if error.errno not in _LACKING:
                    raise
                lacking = error
            else:
                listeners.append(stack.enter_context(listener))
                port = listener.getsockname()[1]
        if lacking and not listeners:
            raise lacking
        stack.pop_all()
    return listeners
