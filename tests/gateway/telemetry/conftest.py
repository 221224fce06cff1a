"""A Triton of the test's own, and what it asks a gateway in front of it with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette

from tests.fakes import FakeTriton, serve_triton


@pytest.fixture
async def triton() -> FakeTriton:
    return FakeTriton()


@pytest.fixture
async def address(triton: FakeTriton) -> AsyncIterator[str]:
    """The Triton's gRPC target."""
    async with serve_triton(triton) as port:
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def client_of(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key; the app has looked at its models, and ends with the block."""
    async with app.router.lifespan_context(app):
        await app.state.gateway.catalogue.refresh()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://gateway",
            headers={"Authorization": "Bearer KEY"},
        ) as client:
            yield client
