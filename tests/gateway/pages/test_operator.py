"""The page at /operator: what it makes of /metrics and /health/ready."""

import hashlib
import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.async_api import Route

from gateway import Settings, create_app
from gateway.app import create_operations
from tests.fakes import MODEL, FakeEmbedder
from tests.gateway.pages.conftest import Visiting
from tests.gateway.serving import serve_app

pytestmark = pytest.mark.anyio

SAMPLES = """\
# HELP gateway_x Words.
gateway_waiting_tokens{lane="bulk"} 900.0
gateway_triton_tokens{lane="bulk",triton="10.0.0.1:8001"} 2048.0
gateway_triton_up{triton="10.0.0.1:8001"} 1.0
gateway_triton_up{triton="<b>10.0.0.2</b>:8001"} 0.0
gateway_held_tokens{key="in\\"dexer\\\\",stage="waiting"} 900.0
gateway_rejected_total{reason="overloaded",model=""} 7.0
gateway_retries_total{reason="unavailable",result="sent"} 3.0
gateway_usage_unwritten_records 12.0
"""


async def test_what_was_sent_is_told_by_key_and_model(visit: Visiting, keyed_gateway: str) -> None:
    page = (await visit(keyed_gateway, "/operator")).page
    await page.wait_for_selector("#headline:text-is('Ready')")
    headers = {"Authorization": "Bearer KEY"}
    async with httpx.AsyncClient(base_url=keyed_gateway, headers=headers) as client:
        for _ in range(3):
            await client.post("/v1/embeddings", json={"model": MODEL, "input": ["a b", "c"]})
        await client.post("/v1/embeddings", json={"model": MODEL, "input": ""})
    await page.wait_for_selector(f"#models th:has-text('{MODEL}')")
    await page.wait_for_selector("#errors th:text-is('invalid_value')")
    key = (await page.inner_text("#keys tbody tr")).split("\t")
    assert (len(key), key[0]) == (6, hashlib.sha256(b"KEY").hexdigest()[:8])
    await page.wait_for_selector("#tiles svg[aria-label^='Calls a second: now']")


async def test_whatever_metrics_tell_of_a_triton_is_shown(
    visit: Visiting, open_gateway: str
) -> None:
    visited = await visit(open_gateway, "/docs")

    async def answer(route: Route) -> None:
        await route.fulfill(body=SAMPLES, content_type="text/plain")

    page = visited.page
    await page.route("**/metrics", answer)
    await page.goto(f"{open_gateway}/operator")
    await page.wait_for_selector("#tritons tbody tr:nth-child(2)")
    rows = await page.locator("#tritons tbody tr").all_inner_texts()
    assert rows == [
        "10.0.0.1:8001\t0\t\u2013\t2\u202f048 tokens bulk, well",
        "<b>10.0.0.2</b>:8001\t0\t\u2013\till",
    ]
    assert "900" in await page.inner_text("#lanes")
    assert 'in"dexer\\' in await page.inner_text("#keys")
    errors = await page.inner_text("#errors")
    assert "overloaded\t0\t7" in errors
    assert "chunk retried, unavailable: sent\t0\t3" in errors
    assert "12 records of the usage log wait" in await page.inner_text("#usage")


async def test_a_gateway_that_is_not_ready_says_why(visit: Visiting, open_gateway: str) -> None:
    visited = await visit(open_gateway, "/docs", expected=("Failed to load resource",))

    async def answer(route: Route) -> None:
        body = {"details": {"models": {"<i>org/a</i>": "does not answer"}}}
        await route.fulfill(status=503, json=body)

    page = visited.page
    await page.route("**/health/ready", answer)
    await page.goto(f"{open_gateway}/operator")
    await page.wait_for_selector("#headline:text-is('Not ready')")
    assert await page.inner_text("#troubles") == "<i>org/a</i> does not answer"


@pytest.fixture(scope="module")
def two_ports() -> Iterator[tuple[str, str]]:
    """The addresses of calls and of operations of one gateway."""
    app = create_app(Settings(auth="off", operations_port=1), FakeEmbedder())
    with serve_app(app) as calls, serve_app(create_operations(app)) as operations:
        addresses = f"http://127.0.0.1:{calls}", f"http://127.0.0.1:{operations}"
        while httpx.get(f"{addresses[0]}/health/ready").status_code != 200:
            time.sleep(0.01)
        yield addresses


async def test_metrics_that_are_elsewhere_are_no_failure(
    visit: Visiting, two_ports: tuple[str, str]
) -> None:
    page = (await visit(two_ports[0], "/operator")).page
    await page.wait_for_selector("#failure:has-text('a port of their own')")
    await page.wait_for_selector("#headline:text-is('Ready')")


async def test_the_page_is_whole_on_the_port_for_operations(
    visit: Visiting, two_ports: tuple[str, str]
) -> None:
    page = (await visit(two_ports[1], "/operator")).page
    await page.wait_for_selector("#tiles .tile")
    assert await page.locator("nav a").all_inner_texts() == ["Operator"]
