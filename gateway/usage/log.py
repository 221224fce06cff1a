"""UsageLog: records on their way to the disk before their answers leave.

A record is written, one line to a file of this process alone, when its answer is ready and not yet
sent. So it outlives this process however that ends; against a loss of power it is synced in the
background. What cannot be written waits in memory, within bounds, until it can, and its answers do
not wait.

    write ──▶ file ──sync──▶ disk
      └─ no room ─▶ unwritten ─ room again ─▶ file
                       └─ too many ─▶ lost, a gap in the numbers of the run
"""

import asyncio
import errno
import logging
import os
import re
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.settings import Settings
from gateway.usage.record import Record, write_line

# Of records that wait for room: about a hundred thousand.
MAX_UNWRITTEN_BYTES = 32 * 1024 * 1024
# Written in a row: 4 ms in which nobody else has a turn.
CATCH_UP_RECORDS = 1000
# A write above it kept every caller waiting: the folder is on no disk for this.
SLOW_WRITE_SECONDS = 0.1

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")

logger = logging.getLogger(__name__)


class Use(msgspec.Struct, frozen=True):
    """What one call was answered with; see Record."""

    request_id: str
    key: str
    digest: str
    model: str
    revision: str
    texts: int
    tokens: int


@dataclass(slots=True)
class Counts:
    """What an operator must see of a log.

    unwritten       records that wait for room
    lost            records that nothing will write any more
    sync_failures   times that the disk did not confirm what was written
    """

    unwritten: int = 0
    lost: int = 0
    sync_failures: int = 0


class UsageLog:
    """The log of one process in a folder that may be shared.

    file_bytes    above it a new file is begun, and with every day of UTC
    sync_seconds  between two syncs
    clock         seconds since 1970; may be set back, nothing depends on its order
    """

    def __init__(
        self,
        folder: Path,
        *,
        file_bytes: int,
        sync_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises: OSError with one sentence if nothing could be written there."""
        check_folder(folder)
        self.counts = Counts()
        self._folder = folder
        self._file_bytes = file_bytes
        self._sync_seconds = sync_seconds
        self._clock = clock
        host = _NOT_IN_A_NAME.sub("-", socket.gethostname())
        self._run = f"{host}-{os.getpid()}-{int(clock() * 1000)}"
        self._number = 0
        self._unwritten: deque[tuple[str, bytes]] = deque()  # day, line
        self._unwritten_bytes = 0
        self._trouble = ""
        self._file: int | None = None
        self._day = ""
        self._part = 0
        self._size = 0  # of the file
        self._finished: list[int] = []  # files that are written to their end and not yet synced
        self._is_dirty = False

    def write(self, use: Use) -> None:
        """Writes a record of a call whose answer is about to be sent; fails never."""
        self._number += 1
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        line = write_line(
            Record(
                time=f"{moment[:23]}Z",
                run=self._run,
                number=self._number,
                request_id=use.request_id,
                key=use.key,
                digest=use.digest,
                model=use.model,
                revision=use.revision,
                texts=use.texts,
                tokens=use.tokens,
            )
        )
        if self._trouble:
            self._keep(moment[:10], line)
            return
        try:
            self._append(moment[:10], line)
        except OSError as error:
            self._stumble(error)
            self._keep(moment[:10], line)

    def catch_up(self, most: int | None = None) -> bool:
        """Writes what waits, if there is room again.

        most  records at once; None is all

        Returns whether there are more that could be written.
        """
        try:
            for _ in range(len(self._unwritten) if most is None else most):
                if not self._unwritten:
                    break
                day, line = self._unwritten[0]
                self._append(day, line)
                self._unwritten.popleft()
                self._unwritten_bytes -= len(line)
        except OSError as error:
            self._stumble(error)
        else:
            if self._trouble and not self._unwritten:
                logger.warning("usage log: written again, %d records are lost", self.counts.lost)
                self._trouble = ""
            return bool(self._unwritten)
        finally:
            self.counts.unwritten = len(self._unwritten)
        return False

    async def keep_synced(self) -> None:
        """Catches up and syncs again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._sync_seconds)
            while self.catch_up(CATCH_UP_RECORDS):
                await asyncio.sleep(0)  # others take their turn
            self._notice_removal()
            if files := self._take_unsynced():
                await asyncio.to_thread(self._sync, files)

    def close(self) -> None:
        """Writes and syncs what is left; nothing may be written afterwards."""
        self.catch_up()
        if self._unwritten:
            self._lose(len(self._unwritten))
        self._finish_file()
        self._sync(self._take_unsynced())

    def _append(self, day: str, line: bytes) -> None:
        """One line to the file of its day.

        Raises: OSError; nothing of the line is in the file then.
        """
        started = time.perf_counter()
        if self._file is None or day != self._day or self._size >= self._file_bytes:
            self._begin_file(day)
        assert self._file is not None
        written = os.write(self._file, line)
        if written < len(line):
            os.ftruncate(self._file, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        self._is_dirty = True
        seconds = time.perf_counter() - started
        if seconds > SLOW_WRITE_SECONDS:
            logger.warning("usage log: a write took %.1f s, and every caller waited", seconds)

    def _begin_file(self, day: str) -> None:
        """A new file of this process; its name sorts by day.

        Raises: OSError.
        """
        path = self._folder / f"usage-{day}-{self._run}-{self._part + 1:04d}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        file = os.open(path, flags, 0o640)
        self._finish_file()
        self._file, self._day, self._size = file, day, 0
        self._part += 1

    def _finish_file(self) -> None:
        if self._file is not None:
            self._finished.append(self._file)
        self._file = None

    def _notice_removal(self) -> None:
        """Begins anew if somebody removed the file: what is written to it would be nowhere."""
        if self._file is not None and os.fstat(self._file).st_nlink == 0:
            logger.error("usage log: the file was removed while it was written: beginning another")
            self._finish_file()

    def _take_unsynced(self) -> list[int]:
        """Descriptors of what was written since the last time, for `_sync` to close."""
        files, self._finished = self._finished, []
        if self._is_dirty and self._file is not None:
            with suppress(OSError):  # no descriptor is free: next time
                files.append(os.dup(self._file))
                self._is_dirty = False
        return files

    def _sync(self, files: list[int]) -> None:
        """Waits for the disk, in a thread while calls are answered."""
        try:
            for file in files:
                os.fsync(file)
            self._sync_folder()
        except OSError as error:
            self.counts.sync_failures += 1
            logger.error(
                "usage log: the disk did not take what was written of late: %s", error.strerror
            )
        finally:
            for file in files:
                with suppress(OSError):  # a file system that says so at the end: fsync did already
                    os.close(file)

    def _sync_folder(self) -> None:
        """A new file is found after a loss of power only if its name was synced as well."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _stumble(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        if reason != self._trouble:
            logger.error("usage log: %s: answers go on, records wait in memory", reason)
        self._trouble = reason

    def _keep(self, day: str, line: bytes) -> None:
        if self._unwritten_bytes + len(line) > MAX_UNWRITTEN_BYTES:
            self._lose(1)
            return
        self._unwritten.append((day, line))
        self._unwritten_bytes += len(line)
        self.counts.unwritten = len(self._unwritten)

    def _lose(self, records: int) -> None:
        if not self.counts.lost:
            logger.critical("usage log: records are lost, the first of them now")
        self.counts.lost += records


def check_folder(folder: Path) -> None:
    """Raises: OSError with one sentence if nothing could be written there.

    A folder that does not exist is not made: it may be a volume that is not mounted.
    """
    if not folder.is_dir():
        raise OSError(f"the folder of the usage log, {folder}, does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f"the folder of the usage log, {folder}, cannot be written")


def open_log(settings: Settings) -> UsageLog | None:
    """The log that the settings name, if any.

    Raises: OSError.
    """
    if not settings.usage_log:
        return None
    return UsageLog(
        Path(settings.usage_log),
        file_bytes=settings.usage_file_bytes,
        sync_seconds=settings.usage_sync_seconds,
    )
