"""What is logged: lines of text, or one JSON object a line.

Neither holds what a caller sent. Of exceptions that are not ours only the type is told, since a
library's message may quote a text, and no character of a message ends its line.
"""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeAlias

import orjson

from gateway.errors import ClientError, GatewayError
from gateway.settings import Settings
from gateway.telemetry.lines import Line

ExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

# Unicode's control characters, and the two others at which some readers end a line.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPES |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029)}

logger = logging.getLogger(__name__)


class TextFormatter(logging.Formatter):
    """Time, level, logger and message; the trace of an exception on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._second = 0
        self._time = ""  # of that second, as told

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        if self._second != int(record.created):
            self._second = int(record.created)
            self._time = time.strftime(self.default_time_format, self.converter(self._second))
        return f"{self._time},{int(record.msecs):03d}"

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # the trace as another formatter left it, words of others included
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _on_one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: ExcInfo) -> str:
        return "".join(_render(ei[1])).rstrip()


class JsonFormatter(logging.Formatter):
    """One object a line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        message: object = record.msg
        if isinstance(message, Line):
            line |= message.fields()
        else:
            line["message"] = record.getMessage()
        line["message"] = _on_one_line(line["message"])
        if record.exc_info:
            line["trace"] = "".join(_render(record.exc_info[1]))
        return orjson.dumps(line, option=orjson.OPT_UTC_Z).decode()


def _on_one_line(message: str) -> str:
    if message.isprintable():
        return message
    return message.translate(_ESCAPES).encode(errors="backslashreplace").decode()


def _render(error: BaseException | None, told: frozenset[int] = frozenset()) -> Iterator[str]:
    """The trace as Python prints it, less the words of others: causes first, then what they did.

    told  what this is the cause of, which may come again in a circle
    """
    if error is None or id(error) in told:
        return
    told |= {id(error)}
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    yield from _render(before, told)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _render(one, told)
    yield from traceback.format_tb(error.__traceback__)
    # What callers got wrong quotes them.
    is_quotable = isinstance(error, GatewayError) and not isinstance(error, ClientError)
    yield f"{type(error).__name__}: {error}\n" if is_quotable else f"{type(error).__name__}\n"


def log_to_stderr(settings: Settings) -> None:
    """All that this process has to say, its libraries and its last words included."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    # What no line tells, and every record would find out.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # as Python's logging HOWTO has it
    logging.raiseExceptions = False  # it prints what could not be formatted
    logging.captureWarnings(True)
    sys.excepthook = lambda *error: logger.critical("this process ends", exc_info=error)
    sys.unraisablehook = lambda unraisable: _log_ignored(unraisable.exc_value)
    threading.excepthook = lambda thread: _log_ignored(thread.exc_value)


def log_of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own handler prints tasks, and with them the words of what they raised."""
    logger.error("%s", context["message"], exc_info=context.get("exception"))


def _log_ignored(error: BaseException | None) -> None:
    logger.error("an exception that nothing waits for", exc_info=error)
