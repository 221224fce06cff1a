"""Fixtures of every ring; those of one folder's modules stand in that folder."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests run on asyncio, as the gateway does."""
    return "asyncio"
