"""The page at /: what a person types, and what is shown of it."""

import pytest

from tests.gateway.pages.conftest import Visiting, embed

pytestmark = pytest.mark.anyio


async def test_a_call_shows_its_figures_and_its_matrix(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway)).page
    await embed(page, "bread", "butter and bread", "moon")
    figures = await page.inner_text("#figures")
    assert "Tokens\n11" in figures
    assert "Of it the server" in figures
    await page.click("summary:has-text('As a table')")
    await page.wait_for_selector("#similarity tbody")
    cells = await page.locator("#similarity tbody td").all_inner_texts()
    assert (len(cells), cells[0], cells[1]) == (9, "1.000", cells[3])
