"""A line of the usage log tells whether it is whole."""

from zlib import crc32

import pytest

from gateway.usage.record import Damaged, Record, read_line, write_line

RECORD = Record(
    time="2026-11-26T08:00:00.123Z",
    run="host-1-1795680000000",
    number=17,
    request_id="req_1",
    key="Dürrenmatt & Söhne",
    digest="0a1b2c3d",
    model="org/model",
    revision="abc",
    texts=3,
    tokens=42,
)
LINE = write_line(RECORD)


def test_a_record_comes_back() -> None:
    assert read_line(LINE) == RECORD


def test_a_line_is_one_line_of_json() -> None:
    assert LINE.endswith(b',"texts":3,"tokens":42,"check":"%b"}\n' % LINE[-11:-3])
    assert LINE.count(b"\n") == 1


@pytest.mark.parametrize("length", range(len(LINE)))
def test_a_part_of_a_line_is_no_record(length: int) -> None:
    with pytest.raises(Damaged):
        read_line(LINE[:length])


@pytest.mark.parametrize("place", range(len(LINE)))
def test_another_byte_is_no_record(place: int) -> None:
    with pytest.raises(Damaged):
        read_line(LINE[:place] + bytes([LINE[place] ^ 1]) + LINE[place + 1 :])


@pytest.mark.parametrize("line", [b"", b"\n", bytes(4096), b"{}\n", LINE + LINE, LINE[9:]])
def test_what_is_no_line_is_no_record(line: bytes) -> None:
    with pytest.raises(Damaged):
        read_line(line)


def test_a_record_of_a_later_gateway_may_hold_more() -> None:
    content = LINE[:-21].replace(b'"texts"', b'"cached":2,"texts"')
    assert read_line(b'%b,"check":"%08x"}\n' % (content, crc32(content))) == RECORD
