"""A program that is started, waited for and ended, and can be started again."""

import asyncio
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

PATIENCE_SECONDS = 60.0  # of the world


class Program:
    """One process at a time.

    log    file that what it says is added to
    ready  address that answers with 200 once it is ready
    """

    def __init__(self, log: Path, ready: str) -> None:
        self._log, self._ready = log, ready
        self._process: subprocess.Popen[bytes] | None = None

    async def start(
        self, session: aiohttp.ClientSession, words: Sequence[str], environ: Mapping[str, str]
    ) -> None:
        """Returns once it is ready.

        Raises: TimeoutError; AssertionError if it ended.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                words, env=environ, stdout=log, stderr=subprocess.STDOUT
            )
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            assert self._process.poll() is None, self._log.read_text()
            with suppress(aiohttp.ClientError):
                async with session.get(self._ready) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)
        raise TimeoutError(self._log.read_text())

    async def stop(self) -> None:
        """Returns once it has ended; nothing happens where none runs."""
        if self._process:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait)
            self._process = None
