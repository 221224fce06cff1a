"""The pages in a real Chromium: one browser, two servers, and an eye on what a page must not do."""

import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page, async_playwright

from gateway import Settings, create_app
from gateway.inference.embedder import Ensemble, Repository
from tests.fakes import ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder
from tests.gateway.conftest import KEYS
from tests.gateway.serving import serve_app

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
SCREENSHOTS = Path(__file__).parents[3] / "build" / "screenshots"
FIXED = "org/fixed"
PROMPTS = {"prompts": '{"query": "query: ", "document": ""}', "similarity": "cosine"}
DESKTOP, PHONE = (1440, 900), (390, 844)
PATIENCE_MILLISECONDS = 30_000.0  # two shared cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that ask for the browser are of its ring."""
    for item in items:
        if "visit" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@dataclass
class Visit:
    """A page and what it did that no page of ours does."""

    page: Page
    troubles: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()  # parts of messages that the browser itself logs of an error

    def watch(self, origin: str) -> None:
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.on("request", lambda request: self._note_request(request.url, origin))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(part in text for part in self.expected):
            self.troubles.append(text)

    def _note_request(self, url: str, origin: str) -> None:
        if not url.startswith(f"{origin}/"):
            self.troubles.append(f"asked {url}")


Visiting = Callable[..., Awaitable[Visit]]


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The address of a gateway with a Matryoshka model and a fixed one, once it is ready."""
    changed = {"served_name": FIXED, "aliases": "[]", "matryoshka": "false", "similarity": "dot"}
    repository = Repository(
        [
            Ensemble(ENSEMBLE, parameters=PARAMETERS | PROMPTS),
            Ensemble("fixed", parameters=PARAMETERS | changed),
        ]
    )
    with serve_app(create_app(settings, FakeEmbedder(repository))) as port:
        address = f"http://127.0.0.1:{port}"
        while httpx.get(f"{address}/health/ready").status_code != 200:
            time.sleep(0.01)
        yield address


@pytest.fixture(scope="session")
def open_gateway() -> Iterator[str]:
    """The address of one that asks for no key."""
    with served(Settings(auth="off")) as address:
        yield address


@pytest.fixture(scope="session")
def keyed_gateway() -> Iterator[str]:
    """The address of one that asks for a key."""
    with served(Settings(api_keys=KEYS)) as address:
        yield address


@pytest.fixture(scope="session")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    """The Chromium of the system; whoever needs it is skipped where there is none."""
    if not CHROMIUM:
        pytest.skip("no Chromium is installed here: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        await browser.close()


@pytest.fixture
async def visit(browser: Browser) -> AsyncIterator[Visiting]:
    """Opens pages, and fails if one logged an error, broke its policy or asked another origin."""
    visits: list[Visit] = []

    async def visit(
        address: str,
        path: str = "/",
        size: tuple[int, int] = DESKTOP,
        theme: str = "light",
        expected: tuple[str, ...] = (),
    ) -> Visit:
        context = await browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if theme == "dark" else "light",
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        visits.append(visit := Visit(await context.new_page(), expected=expected))
        visit.watch(address)
        await visit.page.goto(address + path)
        return visit

    yield visit
    for each in visits:
        await each.page.context.close()
    assert not [trouble for each in visits for trouble in each.troubles]


async def embed(page: Page, *texts: str, model: str = MODEL) -> None:
    """Types the texts, presses the button, and waits for what came of it."""
    await page.wait_for_selector("#model:not([disabled])")
    await page.select_option("#model", model)
    if texts:
        await page.fill("#texts", "\n".join(texts))
    await page.click("#embed")
    await page.wait_for_selector("#status:has-text('embedded in')")
