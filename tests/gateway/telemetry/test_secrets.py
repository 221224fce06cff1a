"""A search of all that an operator sees for what callers sent: a text, a key, a wrong key.

The gateway runs as in production, is asked in every way that can go wrong, and all that it has
said is searched: its log at the chattiest level, metrics, traces, and what it bills from.
"""

import asyncio
import base64
import codecs
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import numpy as np
import pytest

from gateway.local.triton_process import free_ports
from gateway.telemetry.logs import JsonFormatter, TextFormatter
from tests.fakes import MODEL, FakeEmbedder, FakeTriton, serve_triton
from tests.gateway.telemetry.collector import serve_collector

pytestmark = pytest.mark.anyio

TEXT, KEY, WRONG_KEY = "aladdin-opens-sesame", "te-sindbads-own-key", "te-ali-babas-old-key"
TIMEOUT_SECONDS = 2.0
PATIENCE_SECONDS = 30.0


def spellings(word: str) -> Iterator[bytes]:
    """A word as it is, and as it looks where nobody means to show it."""
    raw = word.encode()
    yield from (raw, raw.upper(), raw.hex().encode(), quote(word, safe="").encode())
    yield base64.b64encode(raw)[:-4]  # the end depends on what follows
    yield raw[: len(raw) // 2]  # cut off, as in a message that is too long


def search(seen: bytes) -> list[bytes]:
    """The spellings of secrets that are in there."""
    words = (TEXT, KEY, WRONG_KEY)
    return [found for word in words for found in spellings(word) if found in seen]


def body(**fields: Any) -> bytes:
    return json.dumps({"model": MODEL, "input": TEXT} | fields).encode()


def with_headers(**headers: str) -> dict[str, Any]:
    return {"content": body(), "headers": {k.replace("_", "-"): v for k, v in headers.items()}}


# What comes of a request → requests.
REQUESTS: dict[int, list[dict[str, Any]]] = {
    200: [
        {"content": body()},
        {"content": body(input=[TEXT] * 70, encoding_format=["float", "base64", "binary"])},
        {"content": body(prompt=TEXT), "params": {"key": KEY}},
        with_headers(x_request_id=f"{KEY} {TEXT}", traceparent=TEXT, tracestate=f"a={KEY}"),
        with_headers(user_agent=TEXT, cookie=KEY, accept=TEXT, referer=f"http://{KEY}/"),
    ],
    400: [
        {"content": body()[:-3]},
        {"content": b"\xff" + body()},
        {"content": codecs.BOM_UTF16_LE + body() + b"!"},
        {"content": json.dumps(TEXT)},
        {"content": body() + KEY.encode()},
        with_headers(content_encoding="gzip"),
    ],
    401: [with_headers(authorization=f"Bearer {WRONG_KEY}"), with_headers(authorization=TEXT)],
    404: [
        {"method": "GET", "url": f"/v1/{TEXT}/{KEY}"},
        {"method": "GET", "url": f"/v1/models/{TEXT}"},
        {"method": "PATCH", "url": f"/{KEY}%0A{TEXT}?{TEXT}"},
    ],
    405: [{"method": "GET", "params": {"input": TEXT, "key": KEY}}],
    413: [{"content": TEXT * 300_000}],
    415: [with_headers(content_encoding=TEXT)],
    422: [
        {"content": body(**fields)}
        for fields in (
            {"model": TEXT},
            {"model": KEY},
            {"input": {TEXT: KEY}},
            {"input": [TEXT, {TEXT: 7}]},
            {"input": f"{TEXT}\ud800"},
            {"input": f"{TEXT} lamp" * 600, "truncation_strategy": "none"},
            {"prompt": TEXT * 50},
            {"encoding_format": TEXT},
            {"dimensions": TEXT},
            {"dimensions": 99_999},
            {"normalized": TEXT},
            {"truncation_strategy": KEY},
        )
    ],
}
# What is no HTTP.
BYTES = (
    f"{TEXT} {KEY}\r\n\r\n",
    f"GET /{TEXT} HTTP/9.9\r\n{KEY}: {TEXT}\r\n\r\n",
    f"POST /v1/embeddings HTTP/1.1\r\nAuthorization: {KEY}\r\nContent-Length: {TEXT}\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: x\r\n{TEXT}: {KEY * 40_000}\r\n\r\n",
)
# How the step says it that sees texts, and how Triton says it of that step.
QUOTES = (
    f"in ensemble 'm', tokenizer: cannot read '{TEXT}'",
    f"Failed to process the request(s) for model 'm@0-tokenizer_0', message: KeyError: '{TEXT}'\n",
)
FAILURES = [
    (code, quote)
    for code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT,
                 grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE)
    for quote in QUOTES
]  # fmt: skip
WRONG_OUTPUTS = (
    {"FLOAT": np.full((1, 1024), np.nan, np.float32)},
    {"FLOAT": np.frombuffer(TEXT.encode(), np.uint8)},
)


@dataclass
class Run:
    """A gateway that is misused, and what it showed."""

    client: httpx.AsyncClient
    port: int
    triton: FakeTriton

    async def ask(self, **request: Any) -> int:
        request = {"method": "POST", "url": "/v1/embeddings"} | request
        headers = {"authorization": f"Bearer {KEY}"} | request.pop("headers", {})
        return (await self.client.request(headers=headers, **request)).status_code

    async def say(self, text: str) -> bytes:
        """The answer to bytes of any kind."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text.encode())
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.read()
        writer.close()
        return answer

    async def fail(self, **how: Any) -> int:
        """A call while Triton fails so, and then Triton as it was."""
        before = {name: getattr(self.triton, name) for name in how}
        for name, value in how.items():
            setattr(self.triton, name, value)
        status = await self.ask(content=body())
        for name, value in before.items():
            setattr(self.triton, name, value)
        await self.wait_until_ready()
        return status

    async def hang_up(self) -> None:
        self.triton.pause_seconds = TIMEOUT_SECONDS / 2
        with suppress(httpx.TimeoutException):
            await self.client.post(
                "/v1/embeddings", content=body(), headers={"Authorization": KEY}, timeout=0.1
            )
        self.triton.pause_seconds = 0.0

    async def wait_until_ready(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with suppress(httpx.ConnectError):
                    if (await self.client.get("/health/ready")).is_success:
                        return
                await asyncio.sleep(0.02)


async def misuse(run: Run) -> set[int]:
    """Everything that can go wrong while Triton is there; the statuses of failures."""
    for expected, requests in REQUESTS.items():
        answers = [await run.ask(**request) for request in requests]
        assert [expected] * len(requests) == answers
    for text in BYTES:
        assert (await run.say(text)).startswith(b"HTTP/1.1 400 ")
    statuses = {await run.fail(failure=failure) for failure in FAILURES}
    statuses |= {await run.fail(replaced=replaced) for replaced in WRONG_OUTPUTS}
    statuses.add(await run.fail(pause_seconds=TIMEOUT_SECONDS * 1.5))
    await run.hang_up()
    return statuses


@asynccontextmanager
async def gateway(
    log: Path, triton: FakeTriton, triton_port: int, **settings: str
) -> AsyncIterator[Run]:
    """A process of its own; it ends in peace with the block."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{triton_port}"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_", "GRPC_"))}
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "--port", str(port), "--triton-address", address),
            env=inherited | settings,
            stdout=stream,
            stderr=stream,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
            run = Run(client, port, triton)
            await run.wait_until_ready()
            yield run
        process.send_signal(signal.SIGTERM)
        assert 0 == await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_no_text_and_no_key_is_seen_by_an_operator(log_format: str, tmp_path: Path) -> None:
    log, bills, triton = tmp_path / "log", tmp_path / "bills", FakeTriton()
    bills.mkdir()
    settings = {
        "GATEWAY_API_KEYS": KEY,
        "GATEWAY_LOG_FORMAT": log_format,
        "GATEWAY_LOG_LEVEL": "debug",
        "GATEWAY_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        "GATEWAY_USAGE_LOG": str(bills),
    }
    with serve_collector() as collector:
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        async with (
            AsyncExitStack() as life_of_triton,
            gateway(
                log, triton, await life_of_triton.enter_async_context(serve_triton(triton)),
                **settings,
            ) as run,
        ):  # fmt: skip
            assert {500, 503, 504} == await misuse(run)
            triton.pause_seconds = TIMEOUT_SECONDS / 2
            last = asyncio.create_task(run.ask(content=body()))
            triton.requests.clear()
            while not any(request.id != "probe" for request in triton.requests):
                await asyncio.sleep(0.01)
            await life_of_triton.aclose()
            assert 503 == await last
            metrics = (await run.client.get("/metrics")).content
    seen = {
        "log": log.read_bytes(),
        "metrics": metrics,
        "traces": b"".join(collector.bodies),
        "bills": b"".join(file.read_bytes() for file in bills.iterdir()),
    }
    assert {name: [] for name in seen} == {name: search(content) for name, content in seen.items()}
    asked = sum(map(len, REQUESTS.values())) + len(FAILURES) + len(WRONG_OUTPUTS)
    assert asked < seen["log"].count(b"gateway.access")
    assert asked < len(collector.spans)
    assert b'gateway_rejected_total{model="",reason="invalid_http"} %d.0' % len(BYTES) in metrics
    assert b'"texts":70' in seen["bills"]
    if log_format == "json":
        lines = [json.loads(line) for line in seen["log"].splitlines()]
        assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
async def test_a_bug_that_quotes_a_text_is_not_quoted(
    formatter: Any, client: httpx.AsyncClient, embedder: FakeEmbedder, caplog: Any
) -> None:
    embedder.failure = KeyError(TEXT)
    with caplog.at_level("DEBUG"):
        answer = await client.post("/v1/embeddings", json={"model": MODEL, "input": TEXT})
    assert 500 == answer.status_code
    log = "".join(map(formatter.format, caplog.records))
    assert [] == search(log.encode()) + search(answer.content)
    assert re.search(r"KeyError\b", log)
