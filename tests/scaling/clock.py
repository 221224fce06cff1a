"""Time of a simulation, which may pass some times as fast as that of the world."""

import asyncio
import re
import time

from tests.prometheus import shorter_ranges

_RATE = re.compile(r"rate\(([^()\[\]]+\[\d+[smh]\])\)")


class Clock:
    """Seconds of the simulation, from 0 on.

    speed  how many of them pass in a second
    """

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.restart()

    def restart(self) -> None:
        self._began = time.monotonic()

    def now(self) -> float:
        return (time.monotonic() - self._began) * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0) / self.speed)

    async def sleep_until(self, moment: float) -> None:
        await self.sleep(moment - self.now())


def hurry(query: str, speed: float) -> str:
    """A query of PromQL that asks in fast time what this one asks in that of the world.

    Ranges are as many times shorter, and what grows by the second does so as many times faster.
    """
    return shorter_ranges(_RATE.sub(rf"(rate(\1) / {speed:g})", query), speed)
