"""Compressed bodies: every way to write them, every way to break them, and how much comes out."""

import gzip
import random
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest

from gateway.errors import UndecodableBody, UnsupportedEncoding
from gateway.rest.content_coding import MAX_MEMBERS, PIECE_BYTES, Decoder, Inflater, decoder_of

TEXT = b"Why is bread so tasty? " * 1000
MANY = bytes(3 * PIECE_BYTES)  # thousand times smaller when compressed


def bare(data: bytes) -> bytes:
    """A deflate stream without zlib's frame, as some clients send."""
    compress = zlib.compressobj(wbits=-15)
    return compress.compress(data) + compress.flush()


def decode(decoder: Decoder, *parts: bytes) -> bytes:
    decoded = b"".join(piece for part in parts for piece in decoder.decode(part))
    decoder.finish()
    return decoded


Compress = Callable[[bytes], bytes]

WAYS: dict[str, tuple[str, Compress]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip-of-two-members": ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "gzip-with-a-name": ("gzip", lambda data: gzip_with_name(data)),
    "zlib": ("deflate", zlib.compress),
    "zlib-stored": ("deflate", lambda data: zlib.compress(data, 0)),
    "zlib-small-window": ("deflate", lambda data: zlib_with_window(data, 9)),
    "bare": ("deflate", bare),
}


def gzip_with_name(data: bytes) -> bytes:
    member = gzip.compress(data)
    return member[:3] + b"\x08" + member[4:10] + b"body.json\x00" + member[10:]


def zlib_with_window(data: bytes, bits: int) -> bytes:
    compress = zlib.compressobj(wbits=bits)
    return compress.compress(data) + compress.flush()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("data", [b"", b"{", TEXT, MANY, MANY + b"x"], ids=len)
def test_what_was_compressed_comes_out(way: str, data: bytes) -> None:
    coding, compress = WAYS[way]
    assert decode(decoder_of([coding]), compress(data)) == data


def test_it_may_come_in_any_parts(way: str) -> None:
    coding, compress = WAYS[way]
    compressed = compress(TEXT)
    draw = random.Random(7)  # noqa: S311 - any will do
    for _ in range(50):
        cuts = sorted(draw.choices(range(len(compressed) + 1), k=draw.randint(1, 9)))
        ends = [0, *cuts, len(compressed)]
        parts = [compressed[start:end] for start, end in pairwise(ends)]
        assert decode(decoder_of([coding]), *parts) == TEXT
    assert decode(decoder_of([coding]), *(bytes([byte]) for byte in compressed)) == TEXT


def test_no_piece_is_large(way: str) -> None:
    coding, compress = WAYS[way]
    pieces = list(decoder_of([coding]).decode(compress(MANY)))
    assert max(map(len, pieces)) == PIECE_BYTES


def test_cut_short_is_no_body(way: str) -> None:
    coding, compress = WAYS[way]
    compressed = compress(TEXT)
    for length in (0, 1, 2, 9, len(compressed) // 2, len(compressed) - 1):
        with pytest.raises(UndecodableBody, match=f"^the {coding} body is cut short$"):
            decode(decoder_of([coding]), compressed[:length])


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", TEXT),
        ("gzip", zlib.compress(TEXT)),
        ("gzip", bare(TEXT)),
        ("gzip", b"\x1f\x8b\x07" + gzip.compress(TEXT)[3:]),
        ("deflate", TEXT),
        ("deflate", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)[:-1] + b"\x00"),
        ("gzip", gzip.compress(TEXT)[:-5] + b"\x00" * 5),
        ("gzip", gzip.compress(TEXT) + b"garbage"),
        ("gzip", gzip.compress(TEXT) + b"\x00\x00"),
    ],
    ids=[
        "plain-as-gzip",
        "zlib-as-gzip",
        "bare-as-gzip",
        "another-method",
        "plain-as-deflate",
        "gzip-as-deflate",
        "sum-of-zlib",
        "sum-of-gzip",
        "garbage-behind",
        "zeros-behind",
    ],
)
def test_damage_is_told(coding: str, data: bytes) -> None:
    with pytest.raises(UndecodableBody, match=f"^the body is not valid {coding}$"):
        decode(decoder_of([coding]), data)


@pytest.mark.parametrize("compress", [zlib.compress, bare])
@pytest.mark.parametrize("behind", [b"x", b"\x00", zlib.compress(b"x")])
def test_deflate_has_one_end(compress: Compress, behind: bytes) -> None:
    compressed = compress(TEXT)
    for parts in [(compressed + behind,), (compressed, behind)]:
        with pytest.raises(UndecodableBody, match=r"^the deflate body goes on behind its end$"):
            decode(decoder_of(["deflate"]), *parts)


def test_gzip_has_a_bounded_number_of_members() -> None:
    member = gzip.compress(b"x")
    assert decode(decoder_of(["gzip"]), member * MAX_MEMBERS) == b"x" * MAX_MEMBERS
    with pytest.raises(UndecodableBody, match=r"^the gzip body goes on behind its end$"):
        decode(decoder_of(["gzip"]), member * (MAX_MEMBERS + 1))


@pytest.mark.parametrize(
    "headers",
    [[], [""], ["identity"], [" Identity , "], ["identity", "identity"]],
    ids=lambda headers: "|".join(headers) or "none",
)
def test_what_is_not_compressed_stays_as_it_is(headers: list[str]) -> None:
    decoder = decoder_of(headers)
    assert not isinstance(decoder, Inflater)
    assert not decoder.is_needed
    assert decode(decoder, b"a", b"b") == b"ab"


@pytest.mark.parametrize(
    "headers", [["gzip"], ["GZIP"], ["x-gzip"], ["identity, gzip"], ["identity", "X-GZip ,"]]
)
def test_a_coding_may_be_written_in_several_ways(headers: list[str]) -> None:
    decoder = decoder_of(headers)
    assert decoder.is_needed
    assert decode(decoder, gzip.compress(b"a")) == b"a"


@pytest.mark.parametrize(
    "headers",
    [
        ["br"],
        ["zstd"],
        ["compress"],
        ["gzip;q=1"],
        ["x-deflate"],
        ["gzip, gzip"],
        ["gzip", "deflate"],
        ["gzip", "br"],
        ["utf-8"],
    ],
    ids=lambda headers: "|".join(headers),
)
def test_what_is_not_known_is_told_with_what_is(headers: list[str]) -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip or deflate") as refused:
        decoder_of(headers)
    assert ", ".join(headers) in refused.value.message
    assert refused.value.headers == {"Accept-Encoding": "gzip, deflate"}
    assert refused.value.details == {"supported": ["gzip", "deflate"]}


def test_a_long_name_is_not_echoed_whole() -> None:
    with pytest.raises(UnsupportedEncoding) as refused:
        decoder_of(["a" * 10_000])
    assert len(refused.value.message) < 200
