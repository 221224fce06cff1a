"""Usage logs of a test: written with a clock of its own, read line by line."""

from pathlib import Path

from gateway.usage.log import UsageLog, Use
from gateway.usage.record import Record, read_line
from tests.gateway.clock import Clock

MORNING = 1_795_680_000.0  # 2026-11-26T08:00:00Z


def open_log(folder: Path, clock: Clock | None = None, file_bytes: int = 10**9) -> UsageLog:
    return UsageLog(
        folder, file_bytes=file_bytes, sync_seconds=0.001, clock=clock or Clock(MORNING)
    )


def use(tokens: int = 1, **changed: str) -> Use:
    fields = {"request_id": "req_1", "key": "acme", "digest": "0a1b2c3d", "model": "org/model"}
    return Use(**(fields | {"revision": "abc"} | changed), texts=1, tokens=tokens)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def records(folder: Path) -> list[Record]:
    """All of a folder; fails if one is damaged."""
    return [
        read_line(line)
        for file in files(folder)
        for line in file.read_bytes().splitlines(keepends=True)
    ]


def tokens(folder: Path) -> list[int]:
    return [record.tokens for record in records(folder)]
