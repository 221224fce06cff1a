"""Every attempt of the hostile load test, on the app with FakeEmbedder."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gateway import Settings, create_app
from load_tests.hostile.attempts import CLOSED, Attempt, attempts
from tests.fakes import MODEL, FakeEmbedder
from tests.gateway.conftest import KEYS
from tests.gateway.serving import serve_app
from tests.gateway.wire import PATIENCE_SECONDS

ATTEMPTS = list(attempts(MODEL, "KEY"))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve_app(create_app(Settings(api_keys=KEYS), FakeEmbedder()), rest=0.5) as port:
        yield port


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[attempt.name for attempt in ATTEMPTS])
def test_it_is_answered_as_it_should(attempt: Attempt, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        with suppress(ConnectionError):  # answered before its end
            connection.sendall(attempt.content)
        head = connection.recv(12)
    assert (int(head[9:12]) if head else CLOSED) in attempt.right
