"""Who gets a page and who gets JSON, and what a browser is told it may do with a page."""

import httpx
import pytest

from gateway import Settings, create_app
from gateway.rest.pages.routes import prefers_html
from tests.fakes import FakeEmbedder
from tests.gateway.conftest import KEYS

pytestmark = pytest.mark.anyio

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    "accept",
    ["text/html", BROWSER["accept"], "application/json;q=0.5, text/html", "TEXT/HTML;level=1"],
)
def test_browsers_prefer_a_page(accept: str) -> None:
    assert prefers_html(accept)


@pytest.mark.parametrize(
    "accept",
    [
        *("", "*/*", "application/json", "application/json, text/plain, */*", "text/*"),
        *("text/html;q=0", "text/html;q=x", "text/html;q=0.5, application/json"),
    ],
)
def test_everybody_else_prefers_json(accept: str) -> None:
    assert not prefers_html(accept)


async def test_who_asks_decides_what_is_at_the_front(client: httpx.AsyncClient) -> None:
    plain, page = await client.get("/"), await client.get("/", headers=BROWSER)
    assert plain.json()["name"] == "triton-embeddings"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert {plain.headers["vary"], page.headers["vary"]} == {"Accept"}


async def test_a_page_may_run_and_ask_nothing_but_what_is_ours(client: httpx.AsyncClient) -> None:
    headers = (await client.get("/", headers=BROWSER)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert {policy[name] for name in ("default-src", "base-uri", "frame-ancestors")} == {"'none'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in headers


async def test_a_page_is_told_of_the_gateway_and_of_no_key(client: httpx.AsyncClient) -> None:
    page = (await client.get("/", headers=BROWSER)).text
    assert "&quot;auth&quot;:&quot;required&quot;" in page
    assert "{{" not in page
    assert not [digest for digest in KEYS if digest.hex() in page]


async def test_what_a_browser_has_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/pages/style.css")
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    again = await client.get("/pages/style.css", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["routes.py", "index.html", "..%2Fopenapi.json", "nothing.js"])
async def test_only_parts_of_pages_are_parts(client: httpx.AsyncClient, name: str) -> None:
    response = await client.get(f"/pages/{name}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


async def test_pages_can_be_turned_off() -> None:
    app = create_app(Settings(api_keys=KEYS, pages="off"), FakeEmbedder())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        assert (await client.get("/", headers=BROWSER)).json()["name"] == "triton-embeddings"
        for path in ("/operator", "/docs", "/pages/style.css"):
            assert (await client.get(path, headers=BROWSER)).status_code == 404
