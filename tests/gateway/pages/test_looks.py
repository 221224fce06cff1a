"""Every view as people meet it: axe finds nothing, nothing sticks out, and a picture is taken."""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.gateway.pages.conftest import DESKTOP, PHONE, SCREENSHOTS, Visiting, embed

pytestmark = pytest.mark.anyio

VIEWS = ["try-empty", "try", "operator", "docs"]


async def arrive(page: Page, view: str) -> None:
    """Waits until the view shows what it is there for."""
    if view == "try":
        await embed(page)
    elif view == "operator":
        await page.wait_for_selector("#tiles .tile")
    elif view == "docs":
        await page.wait_for_selector("#operations section")


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_is_accessible_in_both_themes_at_both_widths(
    visit: Visiting, keyed_gateway: str, open_gateway: str, view: str
) -> None:
    address = keyed_gateway if view in ("try-empty", "docs") else open_gateway
    page = (await visit(address, "/" if view.startswith("try") else f"/{view}")).page
    await arrive(page, view)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for size in (DESKTOP, PHONE):
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for theme in ("light", "dark"):
            await page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            if (size, theme) == (PHONE, "light"):
                continue  # its colours and its width are met by the others
            results = await Axe().run(page)
            assert results.violations_count == 0, results.generate_report()
            file = SCREENSHOTS / f"{view}-{size[0]}-{theme}.png"
            await page.screenshot(path=file, full_page=True)


async def test_what_opens_is_accessible_too(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway)).page
    await embed(page, "bread", "butter", "moon")
    await page.click("summary:has-text('As a table')")
    await page.click("summary:has-text('Body and headers')")
    await page.click("summary:has-text('More')")
    await page.click("#mode")
    await page.wait_for_selector("#similarity tbody")
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
