"""The page at /: what a person types, and what is shown of it."""

import asyncio
import json
import os
import sys
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.fakes import MODEL
from tests.gateway.pages.conftest import FIXED, PHONE, Visiting, embed

pytestmark = pytest.mark.anyio

# What ends a string, a line or an element somewhere, and what reverses what is read.
NASTY = """it's "so" \\ $HOME `id` <img src=x onerror=alert(1)> \u202eback 👩🏽\u200d🍳"""
REFUSED = "Failed to load resource"  # the browser logs every answer of 400 and above


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


async def test_the_costs_name_every_format_and_every_cut(
    visit: Visiting, open_gateway: str
) -> None:
    page = (await visit(open_gateway)).page
    await embed(page)
    rows = [row.split("\t") for row in await page.locator("#costs tbody tr").all_inner_texts()]
    costs = {(row[0], row[1]): row[2:] for row in rows}
    assert {size for _, size in costs} == {"1024", "512", "256", "128"}
    assert costs["float", "1024"][:2] == ["100\u202f%", "4.0\u202fKiB"]
    assert costs["binary", "128"][1] == "16\u202fB"
    assert "Chance alone finds" in await page.inner_text("#costs")
    await page.select_option("#model", FIXED)
    await page.click("#embed")
    await expect(page.locator("#costs tbody tr")).to_have_count(3)


async def test_what_the_page_cuts_is_what_the_service_cuts(
    visit: Visiting, open_gateway: str
) -> None:
    page = (await visit(open_gateway)).page
    differing = await page.evaluate(
        """async (model) => {
            const { derive, rowsOf } = await import("/pages/vectors.js");
            const call = async (fields) => (await fetch("/v1/embeddings", {method: "POST",
                body: JSON.stringify({ model, input: ["a", "b c", "d"], ...fields })})).json();
            const whole = rowsOf(await call({ encoding_format: "base64" }), "base64");
            const cut = await call({ encoding_format: ["int8", "binary"], dimensions: 100 });
            return ["int8", "binary"].flatMap((format) => {
                const rows = derive(whole, format, 100);
                return rowsOf(cut, format).filter((row, i) => String(row) !== String(rows[i]));
            });
        }""",
        MODEL,
    )
    assert differing == []


RECALLS = {
    "same order": ([[9, 3, 2, 1], [3, 9, 2, 1], [3, 2, 9, 1], [3, 2, 1, 9]], 1.0),
    "reversed": ([[9, 1, 2, 3], [1, 9, 2, 3], [1, 2, 9, 3], [1, 2, 3, 9]], 0.0),
    "all level is chance": ([[9, 5, 5, 5], [5, 9, 5, 5], [5, 5, 9, 5], [5, 5, 5, 9]], 1 / 3),
}


async def test_recall_is_the_share_of_neighbours_found(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway, "/docs")).page
    found = await page.evaluate(
        """async (matrices) => {
            const { recall } = await import("/pages/vectors.js");
            const float = [9, 3, 2, 1, 3, 9, 2, 1, 3, 2, 9, 1, 3, 2, 1, 9];
            return matrices.map((matrix) => recall(float, matrix.flat(), 4, 1));
        }""",
        [matrix for matrix, _ in RECALLS.values()],
    )
    assert found == pytest.approx([expected for _, expected in RECALLS.values()])


async def test_a_model_for_dot_products_is_compared_by_them(
    visit: Visiting, open_gateway: str
) -> None:
    page = (await visit(open_gateway)).page
    async with page.expect_request("**/v1/embeddings") as request:
        await embed(page, "bread", "butter", "moon", model=FIXED)
    sent: Any = (await request.value).post_data_json
    assert sent["normalized"] is False
    assert "dot product of float" in str(await page.get_attribute("canvas", "aria-label"))
    await page.select_option("#shown", label="int8 1024")
    assert "cosine of int8" in str(await page.get_attribute("canvas", "aria-label"))


async def shown(page: Page, program: str) -> str:
    """A program of the page, as its button copies it."""
    await page.click(f"[role=tab]:text-is('{program}')")
    await page.click(f"[aria-label='Copy the call as {program}']")
    return str(await page.evaluate("navigator.clipboard.readText()"))


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"API_KEY": "KEY"},
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_the_programs_do_the_same_call(visit: Visiting, keyed_gateway: str) -> None:
    page = (await visit(keyed_gateway)).page
    await page.fill("#key", "KEY")
    await page.press("#key", "Tab")
    await page.wait_for_selector("#model:not([disabled])")
    await page.fill("#dimensions", "4")
    await page.select_option("#prompt", "own")
    await page.fill("#own-prompt", "query's: ")
    await embed(page, NASTY, "second")
    programs = {
        name: await shown(page, name)
        for name in ("curl", "Python, openai", "Python, mixedbread", "JavaScript")
    }
    answer = json.loads(await run("bash", "-c", f"{programs['curl']} -sS"))
    expected = answer["data"][0]["embedding"]
    assert list(expected) == ["float", "int8", "binary"]
    assert len(expected["float"]) == 4
    for name in ("Python, openai", "Python, mixedbread"):
        printed = await run(sys.executable, "-c", programs[name])
        assert str(expected["int8"]) in printed, name
    async with page.expect_console_message() as message:
        await page.evaluate(
            "(async () => { const process = { env: { API_KEY: 'KEY' } };"
            f"{programs['JavaScript']} }})()"
        )
    arguments = [await argument.json_value() for argument in (await message.value).args]
    assert arguments == [answer["usage"]["total_tokens"], expected]


async def test_a_text_is_shown_as_text(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway)).page
    await embed(page, NASTY, "<script>alert(1)</script>", "x")
    await page.click("summary:has-text('As a table')")
    await page.click("summary:has-text('Body and headers')")
    await page.wait_for_selector("#similarity tbody")
    assert "<img src=x one" in await page.inner_text("#similarity tbody")
    assert await page.locator("#answer img, main script").count() == 0


async def test_what_the_api_refuses_is_shown_as_it_says(
    visit: Visiting, keyed_gateway: str
) -> None:
    page = (await visit(keyed_gateway, expected=(REFUSED,))).page
    await page.fill("#key", "wrong")
    await page.press("#key", "Tab")
    await page.wait_for_selector("#failure:has-text('401 invalid_api_key')")
    assert "Request id req_" in await page.inner_text("#failure")
    await page.fill("#key", "KEY")
    await page.press("#key", "Tab")
    await page.wait_for_selector("#model:not([disabled])")
    await page.fill("#dimensions", "5000")
    await page.click("#embed")
    await page.wait_for_selector("#failure:has-text('dimensions is 5000, this model allows')")


async def test_the_key_is_kept_in_memory_unless_asked(visit: Visiting, keyed_gateway: str) -> None:
    page = (await visit(keyed_gateway)).page
    kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    await page.fill("#key", "KEY")
    await page.press("#key", "Enter")
    await page.wait_for_selector("#status:has-text('embedded in')")
    assert "KEY" not in await page.evaluate(kept)
    assert "KEY" not in (await page.inner_text("body")).replace("API_KEY", "")
    await page.check("#keep-key")
    assert '{"api-key":"KEY"}' in await page.evaluate(kept)
    await page.reload()
    await embed(page, "one", "two")
    await page.uncheck("#keep-key")
    assert "KEY" not in await page.evaluate(kept)


async def test_256_texts_stay_usable_and_257_are_refused(
    visit: Visiting, open_gateway: str
) -> None:
    page = (await visit(open_gateway, size=PHONE, expected=(REFUSED,))).page
    texts = [f"text {index}" for index in range(256)]
    await embed(page, *texts)
    assert await page.locator("#shown option").count() == 12
    await page.click("summary:has-text('As a table')")
    await page.wait_for_selector("#similarity tbody")
    assert await page.locator("#similarity tbody tr").count() == 256
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.fill("#texts", "\n".join([*texts, "one more"]))
    await page.click("#embed")
    await page.wait_for_selector("#failure:has-text('the limit is 256')")


async def test_any_number_and_sort_of_texts(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway)).page
    await page.wait_for_selector("#model:not([disabled])")
    for texts, told in (
        (["two", "texts"], "Nearest neighbours need at least three texts"),
        (["alone"], "One text has nobody to be compared with"),
        (["مرحبا بالعالم", "👩🏽\u200d🍳", "x " * 3000], "too few to decide by"),
        ([""], "type a text first"),
    ):
        await page.fill("#texts", "\n".join(texts))
        await page.click("#embed")
        await page.wait_for_selector(f"#results:has-text('{told}')")


async def test_a_field_holds_a_text_with_lines(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway)).page
    await page.click("#clear")
    await page.click("#mode")
    await page.fill("[aria-label='Text 1']", "two\nlines")
    await page.click("text=Add a text")
    await page.fill("[aria-label='Text 2']", "other")
    async with page.expect_request("**/v1/embeddings") as request:
        await embed(page)
    sent: Any = (await request.value).post_data_json
    assert sent["input"] == ["two\nlines", "other"]


async def test_everything_is_reached_by_keyboard(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway)).page
    await page.wait_for_selector("#model:not([disabled])")
    focused = "document.activeElement.id || document.activeElement.textContent.trim()"
    reached = []
    for _ in range(40):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate(focused))
        if reached[-1] == "embed":
            break
    assert reached[:3] == ["Skip to the content", "Try", "Operator"]
    assert {"theme", "texts", "model", "prompt", "dimensions", "embed"} <= set(reached)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#status:has-text('embedded in')")
    for _ in range(10):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.tagName") == "CANVAS":
            break
    await page.keyboard.press("Home")
    before = await page.inner_text(".readout")
    await page.keyboard.press("ArrowRight")
    assert await page.inner_text(".readout") != before
    assert await page.get_attribute(".readout", "aria-live") == "polite"
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"


async def test_the_theme_is_switched_and_remembered(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway)).page
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = await page.evaluate(paper)
    await page.click("#theme")
    await page.click("#theme")
    dark = await page.evaluate(paper)
    await page.reload()
    assert (await page.inner_text("#theme"), await page.evaluate(paper)) == ("Theme: dark", dark)
    assert light != dark


async def test_a_call_can_be_stopped(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway)).page
    await page.route("**/v1/embeddings", lambda route: None)  # which nobody answers
    await page.wait_for_selector("#model:not([disabled])")
    await page.click("#embed")
    await page.click("#embed:text-is('Stop')")
    await page.wait_for_selector("#status:text-is('Stopped.')")


async def test_a_call_without_float_is_compared_with_float(
    visit: Visiting, open_gateway: str
) -> None:
    page = (await visit(open_gateway)).page
    await page.uncheck("#formats [value=float]")
    await page.fill("#dimensions", "64")
    sent: list[Any] = []
    page.on("request", lambda request: sent.append(request.post_data_json))
    await embed(page)
    asked = [(body["encoding_format"], body.get("dimensions")) for body in sent]
    assert asked == [(["int8", "binary"], 64), ("base64", None)]
    told = await page.inner_text("#costs")
    assert "A second call fetched float at all 1\u202f024 dimensions" in told
    assert "float" not in await page.inner_text("#shown")


async def test_an_answer_is_shown_even_if_there_is_nothing_to_compare_it_with(
    visit: Visiting, open_gateway: str
) -> None:
    page = (await visit(open_gateway, expected=(REFUSED,))).page

    async def refuse_float(route: Route) -> None:
        sent: Any = route.request.post_data_json
        if sent["encoding_format"] == "base64":
            body = {"message": "busy", "error": {"code": "overloaded", "message": "busy"}}
            await route.fulfill(status=429, json=body)
        else:
            await route.continue_()

    await page.route("**/v1/embeddings", refuse_float)
    await page.uncheck("#formats [value=float]")
    await embed(page)
    assert await page.locator("canvas").count() == 1
    assert "to compare with, failed: busy." in await page.inner_text("#costs")


async def test_models_that_come_later_are_waited_for(visit: Visiting, open_gateway: str) -> None:
    page = (await visit(open_gateway, "/docs", expected=(REFUSED,))).page

    async def not_yet(route: Route) -> None:
        body = {"error": {"code": "service_unavailable", "message": "not loaded yet"}}
        await route.fulfill(status=503, json=body)

    await page.route("**/v1/models", not_yet, times=1)
    await page.goto(f"{open_gateway}/")
    await page.wait_for_selector("#failure:has-text('503 service_unavailable')")
    await page.wait_for_selector("#model:not([disabled])")
    assert await page.inner_text("#failure") == ""


async def test_a_program_is_copied_where_there_is_no_clipboard_to_ask(
    visit: Visiting, open_gateway: str
) -> None:
    page = (await visit(open_gateway)).page
    await embed(page, "one", "two")
    copied = await page.evaluate("navigator.clipboard.readText()")
    await page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    await page.click("[aria-label='Copy the call as curl']")
    await page.wait_for_selector("button:text-is('Copied')")
    assert await page.evaluate("navigator.clipboard.readText()") != copied
