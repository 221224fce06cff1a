"""The app on FakeEmbedder, called in the same process."""

import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from gateway import Settings, create_app
from gateway.api_keys import read_keys
from tests.fakes import FakeEmbedder
from tests.gateway.clock import Clock

KEY_LABEL = hashlib.sha256(b"KEY").hexdigest()[:8]
KEYS = frozenset(entry.digest for entry in read_keys("KEY,SECOND"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def settings() -> Settings:
    return Settings(api_keys=KEYS, max_body_bytes=100_000)


@pytest.fixture
def app(settings: Settings, embedder: FakeEmbedder) -> Starlette:
    return create_app(settings, embedder)


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key, of an app that has looked at its models once."""
    async with app.router.lifespan_context(app):
        await app.state.gateway.catalogue.refresh()
        # Crashes must be answered by the app, not raised into the test.
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": "Bearer KEY"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://gateway", headers=headers
        ) as client:
            yield client
