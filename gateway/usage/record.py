"""Record: one answered call ⇄ one line of the usage log, which tells by itself whether it is whole.

{"time":"2026-11-26T08:00:00.123Z","run":"gateway-7c9f-1-1795680000000","number":17,
 "request_id":"req_…","key":"acme","digest":"1a2b3c4d","model":"org/model","revision":"0123abcd",
 "texts":3,"tokens":42,"check":"8d7f6a5b"}

A file may end in the middle of a line, or in zeros, after the machine lost its power: such a line
is damaged, never a smaller number.
"""

from typing import Annotated
from zlib import crc32

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]

_CHECK = b',"check":"'
_TAIL = len(_CHECK) + len(b'01234567"}')


class Damaged(ValueError):
    """A line that is not what was written."""


class Record(msgspec.Struct, frozen=True):
    """One call that was answered with embeddings.

    time        UTC, milliseconds
    run         of the gateway that answered: host, process, start in milliseconds
    number      from 1, of the record within its run: with that the record's identity
    request_id  as in the answer's header; callers choose it, and may repeat it
    digest      the first 8 digits of that of the key, empty where no key is asked for
    tokens      as in the answer's usage
    """

    time: str
    run: str
    number: Annotated[int, Meta(ge=1)]
    request_id: str
    key: str
    digest: str
    model: str
    revision: str
    texts: Count
    tokens: Count


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record)


def write_line(record: Record) -> bytes:
    """The line, with CRC-32 of all that stands before its check."""
    content = _ENCODER.encode(record)[:-1]
    return b'%b%b%08x"}\n' % (content, _CHECK, crc32(content))


def read_line(line: bytes) -> Record:
    """The record of a line, its end of line included.

    Raises: Damaged.
    """
    content, tail = line[: -_TAIL - 1], line[-_TAIL - 1 :]
    if tail != b'%b%08x"}\n' % (_CHECK, crc32(content)):
        raise Damaged("the line is not whole")
    try:
        return _DECODER.decode(content + b"}")
    except msgspec.DecodeError as error:  # what is no JSON, and what is no record
        raise Damaged(str(error)) from error
