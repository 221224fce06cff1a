"""A listening socket that is about to close, on the real system."""

import socket
import sys

import pytest

from gateway.rest.closing import put_off_newcomers


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux'")
def test_a_newcomer_is_put_off(listener: socket.socket) -> None:
    put_off_newcomers(listener)
    with socket.socket() as newcomer:
        newcomer.settimeout(0.05)
        with pytest.raises(TimeoutError):
            newcomer.connect(listener.getsockname())
    listener.close()


def test_who_is_connected_goes_on(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as client:
        put_off_newcomers(listener)
        accepted, _ = listener.accept()
        with accepted:
            client.sendall(b"?")
            assert accepted.recv(1) == b"?"
            accepted.sendall(b"!")
            assert client.recv(1) == b"!"
    listener.close()
