"""Fixtures of every ring; those of one folder's modules stand in that folder."""

import os
import signal
from collections.abc import AsyncIterator

import pytest

# Some tests import onnxruntime themselves, which reports to its maker otherwise.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# Under nohup hang-ups are ignored, and in the background of a script interrupts, which what the
# tests start would inherit; not so a handler.
signal.signal(signal.SIGHUP, lambda *_: None)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Coroutine tests run on asyncio, as the gateway does."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
async def one_event_loop(anyio_backend: str) -> AsyncIterator[None]:
    """Keeps the loop of the session open: grpc.aio still answers to it after a test has ended."""
    yield  # noqa: PT022 - the teardown is what keeps the loop
