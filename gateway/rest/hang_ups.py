"""HangUp: who works for a client is cancelled once it has gone.

Our own server tells when a connection is lost, which costs a call nothing. Of another one, such as
that of a test, it is asked by a task that reads on where the request has ended.
"""

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import Receive

# Where the state of a scope has the HangUp of its connection.
STATE = "hang_up"


class HangUp:
    """Of one connection, and of the one request of it that is worked for at a time.

    read_on  who does not read does not notice: called when somebody begins to watch
    """

    def __init__(self, read_on: Callable[[], object]) -> None:
        self.has_cancelled = False  # the task that watches
        self._read_on = read_on
        self._has_happened = False
        self._task: asyncio.Task[object] | None = None

    def watch(self, task: asyncio.Task[object]) -> None:
        """Cancels the task when it happens, or at once if it has."""
        self._task, self.has_cancelled = task, False
        if self._has_happened:
            self.happen()
        else:
            self._read_on()

    def unwatch(self) -> None:
        self._task = None

    def happen(self) -> None:
        """The client has gone."""
        self._has_happened = True
        if self._task is not None:
            self.has_cancelled = self._task.cancel()


class AwaitedHangUp(HangUp):
    """Of one request to a server that does not tell."""

    def __init__(self, receive: Receive) -> None:
        super().__init__(self._start)
        self._receive = receive

    def unwatch(self) -> None:
        super().unwatch()
        self._reader.cancel()

    def _start(self) -> None:
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.happen()


def hang_up_of(request: Request) -> HangUp:
    """That of the request's client."""
    told: HangUp | None = request.scope.get("state", {}).get(STATE)
    return told or AwaitedHangUp(request.receive)
