"""The page at /docs: the schema of this server, and its examples run from the page."""

import pytest

from tests.gateway.pages.conftest import Visiting

pytestmark = pytest.mark.anyio


async def test_every_example_runs_and_is_answered_as_documented(
    visit: Visiting, keyed_gateway: str
) -> None:
    page = (await visit(keyed_gateway, "/docs", expected=("Failed to load resource",))).page
    await page.fill("#key", "KEY")
    await page.press("#key", "Tab")
    await page.wait_for_load_state("networkidle")
    runners = page.locator(".runner")
    ran = 0
    for runner in await runners.all():
        examples = await runner.locator("select option").count()
        for index in range(examples):
            if examples > 1:
                await runner.locator("select").select_option(str(index))
            await runner.locator("button.primary").click()
            told = await runner.locator(".result > p").inner_text()
            assert ", as documented, in" in told
            ran += 1
    assert ran > 20


async def test_what_is_changed_is_run_as_it_stands(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway, "/docs", expected=("Failed to load resource",))).page
    runner = page.locator("#create_embeddings .runner")
    await runner.locator("textarea").fill('{"model": "<b>x</b>", "input": "x"}')
    await runner.locator("button.primary").click()
    assert (await runner.locator(".result > p").inner_text()).startswith("422, in ")
    assert "model '<b>x</b>' is not served" in await runner.locator("pre.wrapped").inner_text()


async def test_every_error_is_explained_where_it_is_named(
    visit: Visiting, open_gateway: str
) -> None:
    page = (await visit(open_gateway, "/docs")).page
    await page.wait_for_selector("#errors")
    named = await page.locator("a[href^='#error-']").evaluate_all("a => a.map((b) => b.hash)")
    assert len(set(named)) > 8
    for anchor in set(named):
        assert await page.locator(f"{anchor} details").count() > 0
