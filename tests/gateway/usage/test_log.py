"""UsageLog: what is in its files at any moment, and what happens when there is no room."""

import asyncio
import logging
import os
import re
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.usage import log as module
from tests.gateway.clock import Clock
from tests.gateway.usage.logs import MORNING, files, open_log, records, tokens, use

pytestmark = pytest.mark.anyio

DAY = 86_400.0


@contextmanager
def full_disk(file_bytes: int) -> Iterator[None]:
    """No file of this process may grow above it, which is met as a full disk is: with half a line.

    Source: setrlimit(2), RLIMIT_FSIZE.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_record_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.write(use(7, key="acme", request_id="mine"))
    (record,) = records(tmp_path)
    assert (record.time, record.number) == ("2026-11-26T08:00:00.000Z", 1)
    assert (record.key, record.request_id, record.tokens) == ("acme", "mine", 7)
    log.close()


def test_nothing_is_in_the_folder_before_the_first_call(tmp_path: Path) -> None:
    open_log(tmp_path).close()
    assert files(tmp_path) == []


def test_every_record_has_its_own_identity(tmp_path: Path) -> None:
    clock = Clock(MORNING)
    first = open_log(tmp_path, clock)
    clock.now += 0.001
    second = open_log(tmp_path, clock)
    for log in (first, second, first):
        log.write(use(request_id="the same"))
    for log in (first, second):
        log.close()
    assert len({(record.run, record.number) for record in records(tmp_path)}) == 3


def test_a_file_is_for_its_owner_and_group(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.write(use())
    log.close()
    (file,) = files(tmp_path)
    assert file.stat().st_mode & 0o007 == 0
    assert re.fullmatch(r"usage-2026-11-26-[\w.-]+-\d+-1795680000000-0001\.jsonl", file.name)


def test_a_new_file_is_begun_by_size_and_by_day(tmp_path: Path) -> None:
    clock = Clock(MORNING)
    log = open_log(tmp_path, clock, file_bytes=300)
    for moment in (0, 1, 2, DAY, DAY + 1, 0):  # set back at the end
        clock.now = MORNING + moment
        log.write(use())
    log.close()
    days = [(file.name[6:16], file.name[-10:-6]) for file in files(tmp_path)]
    expected = [("26", "0001"), ("26", "0002"), ("26", "0004"), ("27", "0003")]
    assert [(f"2026-11-{day}", part) for day, part in expected] == days
    for file in files(tmp_path):
        assert {line[9:19].decode() for line in file.read_bytes().splitlines()} == {file.name[6:16]}


def test_a_full_disk_stops_nothing_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = open_log(tmp_path)
    log.write(use(0))
    line_bytes = files(tmp_path)[0].stat().st_size
    with full_disk(int(2.5 * line_bytes)):
        for number in range(1, 6):
            log.write(use(number))
        log.catch_up()
        assert tokens(tmp_path) == [0, 1]  # no half line
        assert log.counts.unwritten == 4
    log.catch_up()
    log.write(use(6))
    log.close()
    assert tokens(tmp_path) == [0, 1, 2, 3, 4, 5, 6]
    assert (log.counts.unwritten, log.counts.lost) == (0, 0)
    told = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in told] == [logging.ERROR, logging.WARNING]
    assert "answers go on" in told[0][1]


def test_records_that_wait_go_to_the_file_of_their_day(tmp_path: Path) -> None:
    clock = Clock(MORNING)
    log = open_log(tmp_path, clock)
    with full_disk(0):
        log.write(use(1))
        clock.now += DAY
        log.write(use(2))
    log.close()
    assert [file.name[6:16] for file in files(tmp_path)] == ["2026-11-26", "2026-11-27"]
    assert tokens(tmp_path) == [1, 2]


def test_above_the_bound_records_are_lost_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_UNWRITTEN_BYTES", 1000)
    log = open_log(tmp_path)
    with full_disk(0):
        for number in range(1, 11):
            log.write(use(number))
    kept = log.counts.unwritten
    assert 0 < kept < 10
    assert log.counts.lost == 10 - kept
    log.write(use(11))
    log.close()
    assert [record.number for record in records(tmp_path)] == [*range(1, kept + 1)]
    assert "records are lost" in caplog.text


def test_what_cannot_be_written_until_the_end_is_lost(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with full_disk(0):
        log.write(use())
        log.close()
    assert log.counts.lost == 1


async def test_a_file_that_was_removed_is_replaced(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.write(use(1))
    files(tmp_path)[0].unlink()
    keeper = asyncio.create_task(log.keep_synced())
    async with asyncio.timeout(10):
        while True:
            log.write(use(2))
            await asyncio.sleep(0.002)
            if files(tmp_path):
                break
    keeper.cancel()
    assert set(tokens(tmp_path)) == {2}
    log.close()


async def test_a_disk_that_does_not_take_it_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A stand-in for a disk that breaks, of which there is none here."""

    def fsync(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    log = open_log(tmp_path)
    log.write(use())
    log.close()
    assert log.counts.sync_failures == 1
    assert "Input/output error" in caplog.text


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    log = open_log(tmp_path, file_bytes=300)
    for _ in range(5):
        log.write(use())
    log.close()
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", ["absent", "file"])
def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"the folder of the usage log, .*, does not exist"):
        open_log(tmp_path / name)


async def test_much_that_waited_is_written_in_turns(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with full_disk(0):
        for number in range(5):
            log.write(use(number))
    assert log.catch_up(2)
    log.write(use(5))  # behind what waits
    assert tokens(tmp_path) == [0, 1]
    assert log.catch_up(3)
    assert not log.catch_up(3)
    log.write(use(6))
    assert tokens(tmp_path) == [*range(7)]
    log.close()
