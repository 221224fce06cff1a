"""The port for operations: what is there, what is not, and for how long."""

import signal
from pathlib import Path

import httpx
import pytest

from gateway import Settings, create_app
from gateway.app import create_operations
from gateway.local.triton_process import free_ports
from tests.fakes import FakeEmbedder
from tests.gateway.fake_gateway import run_fake_gateway
from tests.gateway.test_stopping import CALL, connect, end_at_once, is_refused
from tests.gateway.wire import read_all, wait_until

HEALTH = ("/health", "/health/live", "/health/ready")


async def statuses(settings: Settings, *paths: str) -> tuple[list[int], list[int]]:
    """Of the paths on the port of the gateway, and on that for operations."""
    app = create_app(settings, FakeEmbedder())
    await app.state.gateway.catalogue.refresh()
    await app.state.gateway.readiness.look()
    found = []
    for one in (app, create_operations(app)):
        transport = httpx.ASGITransport(one, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            found.append([(await client.get(path)).status_code for path in paths])
    return found[0], found[1]


@pytest.mark.anyio
async def test_metrics_have_one_place_and_health_is_everywhere() -> None:
    paths = ("/metrics", *HEALTH, "/operator", "/", "/v1/models", "/openapi.json")
    settings = Settings(auth="off", operations_port=1)
    public, operations = await statuses(settings, *paths)
    assert [404, 200, 200, 200, 200, 200, 200, 200] == public
    assert [200, 200, 200, 200, 200, 404, 404, 404] == operations


@pytest.mark.anyio
async def test_without_pages_there_is_none_for_operators_either() -> None:
    settings = Settings(auth="off", operations_port=1, pages="off")
    _, operations = await statuses(settings, "/operator", "/metrics")
    assert [404, 200] == operations


def test_it_tells_of_a_gateway_that_ends_until_its_last_call_is_answered(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with (
        run_fake_gateway(
            tmp_path, GATEWAY_OPERATIONS_PORT=str(port), FAKE_PAUSE_SECONDS="1000"
        ) as gateway,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as operations,
        connect(gateway) as calling,
    ):
        wait_until(lambda: operations.get("/health/ready").is_success)
        calling.sendall(CALL)
        waiting = 'gateway_held_tokens{key="anybody",stage="waiting"} 3.0'
        wait_until(lambda: waiting in operations.get("/metrics").text)
        gateway.process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_refused(gateway))
        assert 503 == operations.get("/health/ready").status_code
        assert waiting in operations.get("/metrics").text
        assert 0 == end_at_once(gateway)
        assert b"" == read_all(calling)
    assert f"operations on 127.0.0.1 port {port}" in gateway.log.read_text()
