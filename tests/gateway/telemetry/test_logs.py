"""Lines of the log: readable by machines, and without the words of callers."""

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import InferenceFailed, UnknownModel
from gateway.telemetry.lines import FailureLine
from gateway.telemetry.logs import JsonFormatter, TextFormatter, log_of_loop
from tests.fakes import MODEL, FakeEmbedder
from tests.gateway.conftest import KEY_LABEL

FORMATTERS = [JsonFormatter(), TextFormatter()]
WORD = "sesame"
DOCUMENT = Path(__file__).parents[3] / "docs" / "operations.md"
KINDS = re.compile(r"^(\w+)(?::|$)", re.MULTILINE)


def record(message: object, *arguments: object, error: Exception | None = None) -> Any:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("some.name", logging.WARNING, "", 0, message, arguments, exc_info)


def test_a_line_is_an_object_with_a_time_in_utc() -> None:
    one = record("%s is %d", "this", 1)
    one.created = 1_790_000_000.25
    assert json.loads(JsonFormatter().format(one)) == {
        "time": "2026-09-21T14:13:20.250000Z",
        "level": "warning",
        "logger": "some.name",
        "message": "this is 1",
    }


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["json", "text"])
@pytest.mark.parametrize(
    "ending", ["\n", "\r", "\x00", "\x1b[2J", "\x85", "\u2028", "\u2029", "\x0c"], ids=ascii
)
def test_no_character_ends_a_line(formatter: logging.Formatter, ending: str) -> None:
    line = formatter.format(record("one%stwo", ending))
    assert line.isprintable()
    assert 1 == len(line.splitlines())


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["json", "text"])
def test_half_a_character_is_no_reason_to_lose_a_line(formatter: logging.Formatter) -> None:
    assert "ud800" in formatter.format(record("%s", "\ud800"))


def raised(outer: Exception) -> Exception:
    """The exception after a library has failed on a text, and another in a task beside it."""
    try:
        try:
            raise KeyError(WORD)
        except KeyError:
            float(WORD)
    except ValueError as error:
        error.add_note(WORD)
        outer.__cause__ = ExceptionGroup(WORD, [error])
    return outer


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["json", "text"])
@pytest.mark.parametrize(
    ("outer", "is_ours"),
    [(InferenceFailed("it broke"), True), (UnknownModel(WORD, []), False),
     (RuntimeError(WORD), False)],
    ids=["ours", "of a caller", "of a library"],
)  # fmt: skip
def test_a_trace_holds_places_and_types_and_no_words_of_others(
    formatter: logging.Formatter, outer: Exception, is_ours: bool
) -> None:
    told = formatter.format(record("it failed", error=raised(outer)))
    assert WORD not in told
    kinds = [kind for kind in KINDS.findall(told.replace("\\n", "\n"))]
    assert ["KeyError", "ValueError", "ExceptionGroup", type(outer).__name__] == kinds
    assert "in raised" in told
    assert is_ours is ("it broke" in told)


def test_causes_that_go_in_a_circle_come_to_an_end() -> None:
    one, other = RuntimeError(), ValueError()
    one.__cause__, other.__cause__ = other, one
    assert ["ValueError", "RuntimeError"] == TextFormatter().format(
        record("it failed", error=one)
    ).splitlines()[-2:]


async def access_fields(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, **asked: object
) -> dict[str, Any]:
    with caplog.at_level(logging.INFO):
        await client.post("/v1/embeddings", json={"model": MODEL} | asked)
    (line,) = [line for line in caplog.records if line.name == "gateway.access"]
    fields: dict[str, Any] = json.loads(JsonFormatter().format(line))
    return fields


@pytest.mark.anyio
async def test_a_call_is_told_with_its_size_and_its_waits(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    fields = await access_fields(client, caplog, input=["a b", "c"])
    told = {"method": "POST", "route": "create_embeddings", "status": 200, "model": MODEL}
    assert told | {"key": KEY_LABEL, "texts": 2, "tokens": 7} == {
        name: fields[name] for name in (*told, "key", "texts", "tokens")
    }
    assert fields["request_id"].startswith("req_")
    waits = [fields[f"{stage}_ms"] for stage in ("read", "queue", "triton", "encode", "render")]
    assert min(waits) >= 0
    assert fields["total_ms"] >= sum(waits)


@pytest.mark.anyio
async def test_a_call_that_fails_is_told_as_far_as_it_came(
    client: httpx.AsyncClient, embedder: FakeEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    embedder.failure = InferenceFailed("it broke")
    fields = await access_fields(client, caplog, input="a")
    assert (500, "internal_error", MODEL) == tuple(
        fields[name] for name in ("status", "error", "model")
    )
    assert {"read_ms", "queue_ms", "total_ms"} == {name for name in fields if name[-3:] == "_ms"}


@pytest.mark.anyio
async def test_the_documented_fields_are_the_real_ones(
    client: httpx.AsyncClient, embedder: FakeEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    """But for those of traces, caches and Tritons that this gateway has not."""
    fields = await access_fields(client, caplog, input="a")
    embedder.failure = RuntimeError("a bug")
    await client.post("/v1/embeddings", json={"model": MODEL, "input": "a"})
    for line in caplog.records:
        if line.name.startswith("gateway"):
            fields |= json.loads(JsonFormatter().format(line))
    section = DOCUMENT.read_text().partition("\n## The log\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    documented = {name for names in rows for name in re.findall(r"`(\w+)`", names)}
    assert {"trace_id", "chunks", "cache_ms"} == documented - fields.keys()
    assert fields.keys() <= documented


def test_a_failure_is_found_by_its_request() -> None:
    line = FailureLine("req_1", "timeout", "too late", "DEADLINE_EXCEEDED: of Triton")
    fields = json.loads(JsonFormatter().format(record(line)))
    assert ("req_1", "timeout") == (fields["request_id"], fields["error"])
    assert "too late: DEADLINE_EXCEEDED: of Triton" == fields["message"]


@pytest.mark.anyio
async def test_what_a_lost_task_raised_is_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    task = asyncio.ensure_future(asyncio.sleep(0))
    await task
    error = raised(RuntimeError(WORD))
    context = {"message": "Task exception was never retrieved", "exception": error, "future": task}
    log_of_loop(asyncio.get_running_loop(), context)
    assert WORD not in "".join(map(JsonFormatter().format, caplog.records))
    assert ["Task exception was never retrieved"] == [one.message for one in caplog.records]
