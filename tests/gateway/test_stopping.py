"""How a gateway ends: what its callers and load balancers see, and how it is told to hurry."""

import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from gateway.rest.http_server import ECHO_SECONDS
from tests.gateway.fake_gateway import PATIENCE_SECONDS, FakeGateway, run_fake_gateway
from tests.gateway.wire import body_of, read_all, split_answers, wait_until, with_length

CALL = with_length(body_of())
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def connect(gateway: FakeGateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), PATIENCE_SECONDS)


def is_refused(gateway: FakeGateway) -> bool:
    try:
        connect(gateway).close()
    except ConnectionRefusedError:
        return True
    return False


def in_flight(gateway: FakeGateway) -> int:
    """Calls, that of the metrics itself left out."""
    text = httpx.get(f"{gateway.url}/metrics").text
    return int(text.partition("\ngateway_in_flight_requests ")[2].split(".")[0]) - 1


def end_at_once(gateway: FakeGateway) -> int:
    """Its exit code after a second signal."""
    time.sleep(ECHO_SECONDS + 0.1)  # before, it would be an echo of the first
    return gateway.stop()


def test_it_is_unready_first_and_answers_on_until_load_balancers_know(tmp_path: Path) -> None:
    with run_fake_gateway(tmp_path, GATEWAY_DRAIN_SECONDS="1000") as gateway:
        with httpx.Client(base_url=gateway.url) as client:
            wait_until(lambda: client.get("/health/ready").status_code == 200)
            gateway.process.send_signal(signal.SIGTERM)
            wait_until(lambda: client.get("/health/ready").status_code == 503)
            assert "is stopping" in client.get("/health/ready").json()["message"]
            answer = client.post("/v1/embeddings", content=body_of())
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            assert client.get("/health/live").status_code == 200
        assert end_at_once(gateway) == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_what_runs_is_finished_and_nothing_else_is_waited_for(
    tmp_path: Path, sent: signal.Signals
) -> None:
    with run_fake_gateway(tmp_path, FAKE_PAUSE_SECONDS="1.5") as gateway:
        wait_until(lambda: httpx.get(f"{gateway.url}/health/ready").status_code == 200)
        with connect(gateway) as calling, connect(gateway) as idle:
            idle.sendall(GET)
            assert idle.recv(65536).startswith(b"HTTP/1.1 200")
            calling.sendall(CALL)
            wait_until(lambda: in_flight(gateway) == 1)
            gateway.process.send_signal(sent)
            read_all(idle)  # to its end
            assert is_refused(gateway)
            (answer,) = split_answers(read_all(calling))
        assert answer.status == 200
        assert b"connection: close" in answer.head.lower()
        assert gateway.process.wait(PATIENCE_SECONDS) == 0


def test_a_second_signal_cuts_off_who_is_left(tmp_path: Path) -> None:
    with run_fake_gateway(tmp_path, FAKE_PAUSE_SECONDS="1000") as gateway:
        wait_until(lambda: httpx.get(f"{gateway.url}/health/ready").status_code == 200)
        with connect(gateway) as calling:
            calling.sendall(CALL)
            wait_until(lambda: in_flight(gateway) == 1)
            gateway.process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_refused(gateway))
            assert end_at_once(gateway) == 0
            assert read_all(calling) == b""
        assert "1 connections are cut off" in gateway.log.read_text()
