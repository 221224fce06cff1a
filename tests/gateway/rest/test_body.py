"""Bodies as tools send them, through the app: compressed, marked, too large, told to the ledger."""

import asyncio
import codecs
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterable

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from gateway.errors import BodyTooLarge, MalformedBody, Overloaded, UndecodableBody
from gateway.rest.body import read_body
from gateway.rest.content_coding import PIECE_BYTES
from tests.fakes import MODEL, FakeEmbedder

pytestmark = pytest.mark.anyio

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}
MAX_BYTES = 10 * PIECE_BYTES
BODY = json.dumps({"model": MODEL, "input": "größer 面包 🥖"}, ensure_ascii=False)


def request_of(parts: Iterable[bytes], **headers: str) -> Request:
    """A request whose body comes in these parts."""
    waiting = list(parts)

    async def receive() -> Message:
        part = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": pairs}, receive)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: b"\r\n\t " + text.encode() + b" \n\n",
        lambda text: b"\xef\xbb\xbf \r\n" + text.encode() + b"\r\n",
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: codecs.BOM_UTF32_LE + text.encode("utf-32-le"),
        lambda text: codecs.BOM_UTF32_BE + text.encode("utf-32-be"),
        lambda text: codecs.BOM_UTF16_LE + f"\r\n{text}\r\n".encode("utf-16-le"),
    ],
    ids=["bom", "space", "bom-space", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "lines"],
)
@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
async def test_what_tools_put_around_json_is_nothing(
    client: httpx.AsyncClient, embedder: FakeEmbedder, encode: Callable[[str], bytes], coding: str
) -> None:
    content = COMPRESS[coding](encode(BODY))
    response = await client.post(
        "/v1/embeddings", content=content, headers={"Content-Encoding": coding}
    )
    assert response.status_code == 200, response.text
    assert [call.texts for call in embedder.calls] == [("größer 面包 🥖".encode(),)]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"\xef\xbb{}",
        BODY.encode("latin-1", "replace"),
        BODY.encode("utf-16-le"),
        codecs.BOM_UTF16_LE + BODY.encode(),
        codecs.BOM_UTF16_LE + BODY.encode("utf-16-le")[:-1],
        codecs.BOM_UTF16_BE + BODY.encode("utf-16-le"),
        codecs.BOM_UTF16_LE + '{"model": "'.encode("utf-16-le") + b"\x00\xd8\x00\x00",
        codecs.BOM_UTF32_LE + BODY.encode("utf-16-le"),
    ],
    ids=[
        "bom-alone",
        "two-boms",
        "half-a-bom",
        "latin-1",
        "utf-16-without-bom",
        "utf-16-bom-and-utf-8",
        "half-a-character",
        "the-other-order",
        "a-lone-surrogate",
        "utf-32-bom-and-utf-16",
    ],
)
async def test_what_is_no_json_stays_so(client: httpx.AsyncClient, content: bytes) -> None:
    response = await client.post("/v1/embeddings", content=content)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")


async def test_a_marked_body_that_is_something_else_is_told() -> None:
    with pytest.raises(MalformedBody, match=r"^the body begins as UTF-16 and goes on otherwise$"):
        await read_body(request_of([codecs.BOM_UTF16_LE + b"x"]), MAX_BYTES)


async def test_a_coding_that_is_not_known_is_415_with_those_that_are(
    client: httpx.AsyncClient,
) -> None:
    response = await client.post(
        "/v1/embeddings", content=BODY.encode(), headers={"Content-Encoding": "br"}
    )
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (415, "unsupported_encoding")
    assert response.headers["accept-encoding"] == "gzip, deflate"
    assert body["details"] == {"supported": ["gzip", "deflate"]}
    assert "'br'" in body["message"]


async def test_damage_is_400(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/embeddings", content=BODY.encode(), headers={"Content-Encoding": "gzip"}
    )
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (400, "invalid_encoding")
    assert body["message"] == "the body is not valid gzip"


def parts_of(data: bytes, size: int = 65536) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
async def test_the_limit_is_on_what_comes_out(coding: str) -> None:
    for size, is_allowed in [(MAX_BYTES, True), (MAX_BYTES + 1, False)]:
        request = request_of(parts_of(COMPRESS[coding](bytes(size))), content_encoding=coding)
        if is_allowed:
            assert await read_body(request, MAX_BYTES) == bytes(size)
        else:
            with pytest.raises(BodyTooLarge):
                await read_body(request, MAX_BYTES)


async def test_the_limit_is_also_on_the_text_in_utf_8() -> None:
    body = codecs.BOM_UTF16_LE + ("面" * 100).encode("utf-16-le")
    assert len(await read_body(request_of([body]), 300)) == 300
    with pytest.raises(BodyTooLarge):
        await read_body(request_of([body]), 299)


async def test_a_bomb_holds_little_memory() -> None:
    bomb = request_of(parts_of(gzip.compress(bytes(100 * 2**20))), content_encoding="gzip")
    tracemalloc.start()
    with pytest.raises(BodyTooLarge):
        await read_body(bomb, MAX_BYTES)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < MAX_BYTES * 9 / 8 + 3 * PIECE_BYTES  # what grows has an eighth to spare


async def test_others_get_their_turn_between_two_pieces() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    bomb = request_of([gzip.compress(bytes(8 * PIECE_BYTES))], content_encoding="gzip")
    await read_body(bomb, MAX_BYTES)
    other.cancel()
    assert turns >= 8


@pytest.mark.parametrize("length", ["5", "0005", "0" * 60_000 + "5"], ids=len)
async def test_the_announced_length_is_held_before_a_byte_is_read(length: str) -> None:
    held: list[int] = []
    request = request_of([b"12345"], content_length=length)
    assert await read_body(request, 5, held.append) == b"12345"
    assert held == [5]


@pytest.mark.parametrize("length", ["6", "18446744073709551615", "9" * 60_000], ids=len)
async def test_an_announced_length_above_the_limit_holds_nothing(length: str) -> None:
    held: list[int] = []
    with pytest.raises(BodyTooLarge):
        await read_body(request_of([], content_length=length), 5, held.append)
    assert held == []


@pytest.mark.parametrize("length", ["", "x", "-1", "1.5", "²"])
async def test_what_is_no_length_announces_nothing(length: str) -> None:
    held: list[int] = []
    scope_length = length.encode("latin-1", "replace").decode("latin-1")
    assert await read_body(request_of([b"12"], content_length=scope_length), 5, held.append)
    assert held == [0, 2]


async def test_what_is_not_announced_is_held_as_it_comes() -> None:
    held: list[int] = []
    assert await read_body(request_of([b"123", b"", b"45"]), 5, held.append) == b"12345"
    assert held == [0, 3, 5]


async def test_compressed_bytes_are_held_beside_what_comes_out() -> None:
    compressed = gzip.compress(bytes(2 * PIECE_BYTES + 1))
    held: list[int] = []
    request = request_of([compressed], content_length=str(len(compressed)), content_encoding="gzip")
    await read_body(request, MAX_BYTES, held.append)
    sizes = [PIECE_BYTES, 2 * PIECE_BYTES, 2 * PIECE_BYTES + 1]
    assert held == [len(compressed), *(len(compressed) + size for size in sizes)]


async def test_text_is_held_while_it_is_turned_into_utf_8() -> None:
    body = codecs.BOM_UTF16_LE + "12".encode("utf-16-le")
    held: list[int] = []
    assert await read_body(request_of([body]), 100, held.append) == b"12"
    assert held == [0, 6, 30]


@pytest.mark.parametrize("nth", [0, 1, 2])
async def test_who_holds_may_refuse_at_any_time(nth: int) -> None:
    calls = 0

    def hold(total: int) -> None:
        nonlocal calls
        if calls == nth:
            raise Overloaded("too much is held")
        calls += 1

    with pytest.raises(Overloaded, match="too much is held"):
        await read_body(request_of([b"123", b"45"]), 5, hold)


async def test_a_body_that_ends_too_early_is_told() -> None:
    request = request_of([gzip.compress(b"12345")[:-1]], content_encoding="gzip")
    with pytest.raises(UndecodableBody, match="cut short"):
        await read_body(request, 5)


async def test_headers_of_one_name_count_together(client: httpx.AsyncClient) -> None:
    headers = [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    response = await client.post(
        "/v1/embeddings", content=gzip.compress(BODY.encode()), headers=headers
    )
    assert response.status_code == 200


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_compressed_body_may_come_in_chunks(client: httpx.AsyncClient) -> None:
    compressed = gzip.compress(BODY.encode())
    response = await client.post(
        "/v1/embeddings",
        content=chunks(compressed[:20], compressed[20:]),
        headers={"Content-Encoding": "gzip"},
    )
    assert response.status_code == 200
