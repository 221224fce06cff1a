"""python -m tests.fuzz WHAT: atheris looks for inputs that crash a reader, or take it a second.

An input may be refused by the errors that the reader promises, and by no other. What is found is
written to the folder of inputs that is named last; `build/fuzz` has atheris (`make fuzz`).
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gateway", "msgspec", "tomllib"]):
    from gateway.access.key_file import parse_keys
    from gateway.api_keys import InvalidKey
    from gateway.errors import ClientError
    from gateway.rest.parsing import parse_request
    from gateway.rest.vocabulary import Encoding
    from gateway.usage.record import Damaged, read_line

LONGEST_SECONDS = 1.0
ENCODING = Encoding("of four ids", digest="", ordinary=3, special={5: b"<|end|>"})


def read_body(data: bytes) -> None:
    """A body of /v1/embeddings, behind a letter: whether token ids are taken."""
    try:
        request = parse_request(
            data[1:],
            max_texts=256,
            max_prompt_characters=256,
            encoding=ENCODING if data[:1] < b"\x80" else None,
        )
    except ClientError:
        return
    assert 1 <= len(request.texts or request.token_ids) <= 256


def read_key_file(data: bytes) -> None:
    """A key file, behind a letter: whether it is TOML."""
    path = Path("keys.toml" if data[:1] < b"\x80" else "keys")
    try:
        text = data[1:].decode()
        keys = parse_keys(path, text)
    except (InvalidKey, UnicodeDecodeError):
        return
    assert all(len(key.digest) == 32 for key in keys)


def read_usage(data: bytes) -> None:
    """A line of the usage log."""
    try:
        record = read_line(data)
    except Damaged:
        return
    assert record.tokens >= 0


READERS: dict[str, Callable[[bytes], None]] = {
    "body": read_body,
    "key-file": read_key_file,
    "usage": read_usage,
}


def timed(read: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        started = time.process_time()
        read(data)
        assert time.process_time() - started < LONGEST_SECONDS

    return run


def main() -> None:
    what, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], timed(READERS[what]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
