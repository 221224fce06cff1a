"""Every wait for a client, on a clock of the test's own and with a transport that only takes notes.

The transport and the clock are stand-ins because a minute of silence and a client that reads
nothing cannot be had in a moment; test_http_protocol.py has the sockets.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from gateway.rest.http_protocol import HttpProtocol
from gateway.rest.patience import Patience
from tests.gateway.wire import HEAD, with_length

pytestmark = pytest.mark.anyio

PATIENCE = Patience(keep_alive=75, head=60, rest=5, reading=50)
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"Connection: close\r\n"
HALF_A_HEAD = b"GET / HTTP/1.1\r\nHo"


class Timer:
    """A callback that waits for its moment."""

    def __init__(self, moment: float, callback: Callable[[], None]) -> None:
        self.moment = moment
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """The loop as a protocol sees it, with a time that tests move on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.create_task = asyncio.get_running_loop().create_task

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + seconds, callback))
        return self.timers[-1]

    def waiting(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.is_cancelled]

    def advance(self, seconds: float) -> None:
        """Time passes; what is due happens."""
        self.now += seconds
        for timer in self.waiting():
            if timer.moment <= self.now:
                timer.cancel()
                timer.callback()


class Transport(asyncio.Transport):
    """Notes what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.done: list[str] = []
        self.reads = True

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Connection:
    """A protocol between a transport that takes notes and an app that answers when told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.stopping = threading.Event()
        config = uvicorn.Config(self.app, interface="asgi3", log_config=None, access_log=False)
        config.load()
        self.protocol = HttpProtocol(
            config=config,
            server_state=ServerState(),
            app_state={},
            _loop=cast("asyncio.AbstractEventLoop", self.clock),
            patience=PATIENCE,
            stopping=self.stopping,
        )
        self.protocol.connection_made(self.transport)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers without a look at the body."""
        await self.may_answer.wait()
        head = {"status": 200, "headers": [(b"content-length", b"2")]}
        await send({"type": "http.response.start"} | head)
        await send({"type": "http.response.body", "body": b"ok"})

    async def send(self, data: bytes) -> None:
        """The client sends, and the app does what it can."""
        self.protocol.data_received(data)
        await self.settle()

    def stop(self) -> None:
        """The server stops."""
        self.stopping.set()
        self.protocol.shutdown()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    def ends_after(self, seconds: float) -> bool:
        """Whether the connection is closed then and no sooner."""
        self.clock.advance(seconds - 0.01)
        is_open_before = not self.transport.is_closing()
        self.clock.advance(0.02)
        return is_open_before and self.transport.done[-1:] == ["close"]

    @property
    def answers(self) -> int:
        return self.transport.written.count(b"HTTP/1.1 ")


@pytest.fixture
async def connection() -> Connection:
    return Connection()


def test_the_default_patience() -> None:
    assert Patience() == PATIENCE


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (b"", 75),
        (b"\r\n", 75),
        (HALF_A_HEAD, 60),
        (GET, 75),
        (GET + b"\r\n", 75),
        (GET + HALF_A_HEAD, 60),
        (with_length(b"{}"), 75),
        (with_length(b"{}")[:-1], 5),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", 5),
    ],
    ids=[
        "nothing",
        "a-blank-line",
        "half-a-head",
        "a-request",
        "a-request-and-a-blank-line",
        "a-request-and-half-a-head",
        "an-answered-body",
        "most-of-an-answered-body",
        "an-answered-body-without-end",
    ],
)
async def test_silence_ends_a_connection(
    connection: Connection, sent: bytes, seconds: float
) -> None:
    await connection.send(sent)
    assert connection.ends_after(seconds)


async def test_blank_lines_buy_no_time(connection: Connection) -> None:
    for before in (b"", GET):
        await connection.send(before)
        connection.clock.advance(40)
        await connection.send(b"\r\n")
    assert connection.ends_after(35)


async def test_a_dripping_head_buys_no_time(connection: Connection) -> None:
    await connection.send(HALF_A_HEAD[:1])
    connection.clock.advance(40)
    await connection.send(HALF_A_HEAD[1:])
    assert connection.ends_after(20)


async def test_the_time_of_a_head_begins_with_its_first_byte(connection: Connection) -> None:
    for _ in range(2):
        connection.clock.advance(70)
        await connection.send(HALF_A_HEAD[:1])
        connection.clock.advance(50)
        await connection.send(GET[1:])
    assert connection.answers == 2
    assert connection.ends_after(75)


async def test_the_rest_of_an_answered_body_buys_no_time(connection: Connection) -> None:
    await connection.send(with_length(b"123456789")[:-5])
    connection.clock.advance(4)
    await connection.send(b"5")
    assert connection.ends_after(1)


async def test_behind_a_late_body_the_next_request_may_take_its_time(
    connection: Connection,
) -> None:
    await connection.send(with_length(b"{}")[:-1])
    connection.clock.advance(4)
    await connection.send(b"}")
    assert connection.ends_after(75)


async def test_who_waits_for_an_answer_may_wait(connection: Connection) -> None:
    connection.may_answer.clear()
    await connection.send(with_length(b"{}")[:-1])
    connection.clock.advance(1000)
    await connection.send(b"}" + HALF_A_HEAD)
    connection.clock.advance(1000)
    assert connection.clock.waiting() == []
    connection.may_answer.set()
    await connection.settle()
    assert connection.answers == 1
    assert connection.ends_after(60)


async def test_an_answer_that_is_not_read_is_given_up(connection: Connection) -> None:
    await connection.send(GET)
    connection.protocol.pause_writing()
    connection.clock.advance(49.9)
    assert connection.transport.done == []
    connection.clock.advance(0.2)
    assert connection.transport.done == ["abort"]


async def test_an_answer_that_is_read_at_last_is_not(connection: Connection) -> None:
    for _ in range(3):
        await connection.send(GET)
        connection.protocol.pause_writing()
        connection.clock.advance(49)
        connection.protocol.resume_writing()
    assert connection.transport.done == []
    assert len(connection.clock.waiting()) == 1


async def test_nobody_writes_faster_than_the_client_reads(connection: Connection) -> None:
    connection.protocol.pause_writing()
    await connection.send(GET)
    assert connection.answers == 0
    connection.protocol.resume_writing()
    await connection.settle()
    assert connection.answers == 1


@pytest.mark.parametrize("is_read_for_long", [False, True])
async def test_a_closed_connection_is_not_kept_by_unread_bytes(
    connection: Connection, is_read_for_long: bool
) -> None:
    await connection.send(GET.replace(b"\r\n\r\n", b"\r\n" + LAST + b"\r\n"))
    assert connection.transport.done == ["close"]
    if is_read_for_long:
        connection.protocol.pause_writing()
        connection.protocol.resume_writing()
    connection.clock.advance(49.9)
    assert connection.transport.done == ["close"]
    connection.clock.advance(0.2)
    assert connection.transport.done == ["close", "abort"]


async def test_silence_with_unread_bytes_ends_a_connection(connection: Connection) -> None:
    await connection.send(GET)
    assert connection.ends_after(75)
    connection.clock.advance(50)
    assert connection.transport.done == ["close", "abort"]


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
@pytest.mark.parametrize("sent", [b"", GET, HALF_A_HEAD, b"nonsense\r\n\r\n"])
async def test_a_lost_connection_leaves_no_timer(
    connection: Connection, sent: bytes, error: Exception | None
) -> None:
    await connection.send(sent)
    connection.protocol.pause_writing()
    connection.protocol.connection_lost(error)
    assert connection.clock.waiting() == []


async def test_the_rest_of_a_last_body_is_thrown_away_for_a_while(connection: Connection) -> None:
    await connection.send(with_length(b"{}" + GET, LAST)[: -len(GET) - 1])
    assert (connection.answers, connection.transport.done) == (1, ["eof"])
    await connection.send(b"}" + GET + GET)
    assert (connection.answers, connection.transport.done) == (1, ["eof"])
    assert connection.ends_after(5)
    connection.clock.advance(45)
    assert connection.transport.done == ["eof", "close", "abort"]


async def test_a_paused_body_is_read_on_when_it_is_thrown_away(connection: Connection) -> None:
    connection.may_answer.clear()
    await connection.send(with_length(bytes(200_000), LAST)[:100_000])
    assert not connection.transport.reads
    connection.may_answer.set()
    await connection.settle()
    assert connection.transport.done == ["eof"]
    assert connection.transport.reads


@pytest.mark.parametrize("before", [b"", GET], ids=["at-first", "behind-a-request"])
async def test_behind_a_refusal_everything_is_thrown_away_for_a_while(
    connection: Connection, before: bytes
) -> None:
    await connection.send(before + b"nonsense\r\n\r\n" + GET)
    answers = connection.answers
    assert b"HTTP/1.1 400 " in connection.transport.written
    assert connection.transport.done == ["eof"]
    connection.clock.advance(3)
    await connection.send(GET)
    assert connection.answers == answers
    connection.protocol.pause_writing()
    connection.protocol.resume_writing()
    assert connection.ends_after(2)
    connection.clock.advance(45)
    assert connection.transport.done == ["eof", "close", "abort"]


async def test_a_refusal_waits_for_its_turn(connection: Connection) -> None:
    connection.may_answer.clear()
    await connection.send(GET + GET + b"nonsense\r\n\r\n")
    connection.clock.advance(1000)
    assert connection.answers == 0
    connection.may_answer.set()
    await connection.settle()
    assert connection.transport.written.endswith(b"}")
    assert (connection.answers, connection.transport.done) == (3, ["eof"])


async def test_behind_a_last_request_there_is_no_refusal(connection: Connection) -> None:
    last = GET.replace(b"\r\n\r\n", b"\r\n" + LAST + b"\r\n")
    await connection.send(last + b"nonsense\r\n\r\n")
    assert (connection.answers, connection.transport.done) == (1, ["close"])


async def test_a_connection_that_is_given_up_gets_no_refusal(connection: Connection) -> None:
    connection.transport.abort()
    await connection.send(b"nonsense\r\n\r\n")
    assert (connection.answers, connection.transport.done) == (0, ["abort"])


@pytest.mark.parametrize("before", [b"", GET], ids=["new", "idle"])
async def test_a_connection_ends_soon_when_the_server_stops(
    connection: Connection, before: bytes
) -> None:
    await connection.send(before)
    connection.stop()
    assert connection.ends_after(PATIENCE.last)


@pytest.mark.parametrize("before", [b"", GET], ids=["new", "idle"])
async def test_one_more_request_is_answered_when_the_server_stops(
    connection: Connection, before: bytes
) -> None:
    await connection.send(before)
    connection.stop()
    await connection.send(GET)
    assert connection.transport.written.count(b"connection: close") == 1
    assert connection.transport.done == ["close"]


async def test_a_request_that_has_begun_when_the_server_stops_is_answered(
    connection: Connection,
) -> None:
    await connection.send(GET)
    await connection.send(GET[:20])
    connection.stop()
    await connection.send(GET[20:])
    assert connection.answers == 2
    assert connection.transport.written.count(b"connection: close") == 1
    assert connection.transport.done == ["close"]


async def test_a_head_that_does_not_end_is_not_waited_for_long_when_the_server_stops(
    connection: Connection,
) -> None:
    await connection.send(HALF_A_HEAD)
    connection.stop()
    assert connection.ends_after(PATIENCE.rest)


async def test_all_that_is_owed_is_answered_when_the_server_stops(connection: Connection) -> None:
    connection.may_answer.clear()
    await connection.send(GET * 3)
    connection.stop()
    assert connection.transport.done == []
    connection.may_answer.set()
    await connection.settle()
    assert connection.answers == 3
    assert connection.transport.done == ["close"]


async def test_a_body_that_is_answered_early_is_not_reset_when_the_server_stops(
    connection: Connection,
) -> None:
    connection.may_answer.clear()
    await connection.send(with_length(b"x" * 100)[:-50])
    connection.stop()
    connection.may_answer.set()
    await connection.settle()
    assert connection.answers == 1
    assert connection.transport.done == ["eof"]
    assert connection.ends_after(PATIENCE.rest)
