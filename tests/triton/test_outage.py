"""Triton or one of its steps dies under load: callers see right vectors or a 503, then no trouble.

`pytest -m triton tests/triton/test_outage.py -s` prints how long each outage was.
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from export.checkpoint import DEFAULT_CHECKPOINT
from gateway.local.triton_process import running_children
from tests.serving import Service, serve
from tests.texts import mixed_texts

pytestmark = [pytest.mark.triton, pytest.mark.anyio]

CALLERS = 16
TEXTS_OF_A_CALL = 4
LOAD_SECONDS = 2.0  # before the signal, and after recovery
PATIENCE_SECONDS = 60.0  # two shared cores
MAX_DIFFERENCE = 1e-5  # as in test_ensemble: the same text beside others


@pytest.fixture(scope="module")
def victim(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose Triton may be killed."""
    with serve(repository, tmp_path_factory.mktemp("victim")) as service:
        yield service


def triton_of(service: Service) -> int:
    """Process id of Triton."""
    (triton,) = running_children(service.process.pid)
    return triton


def step_of(service: Service, step: str) -> int:
    """Process id of a Python step of the model under load."""
    name = re.compile(f"{DEFAULT_CHECKPOINT.replace('/', '--')}@[0-9a-f]+-{step}")
    (stub,) = (
        process
        for process in running_children(triton_of(service))
        if name.search(Path(f"/proc/{process}/cmdline").read_text())
    )
    return stub


@dataclass
class Load:
    """Callers that embed the same texts over and over; it notes when which answer came.

    answered  moments of the 200s
    refused   moments of the 503s
    """

    client: httpx.AsyncClient
    calls: list[list[str]]
    expected: list[NDArray[np.float32]] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    is_over: bool = False

    async def post(self, texts: list[str]) -> httpx.Response:
        body = {"model": DEFAULT_CHECKPOINT, "input": texts}
        return await self.client.post("/v1/embeddings", json=body)

    async def remember(self) -> None:
        """The vectors of all texts while nothing is wrong."""
        self.expected = [vectors(await self.post(texts)) for texts in self.calls]

    async def run(self, caller: int) -> None:
        """One caller: every answer is right, or a 503 that says when to come back."""
        turn = caller
        while not self.is_over:
            turn = (turn + 1) % len(self.calls)
            response = await self.post(self.calls[turn])
            if response.status_code == 503:
                check_refusal(response)
                self.refused.append(time.monotonic())
                await asyncio.sleep(0.05)
                continue
            found = vectors(response)
            np.testing.assert_allclose(found, self.expected[turn], atol=MAX_DIFFERENCE, rtol=0)
            self.answered.append(time.monotonic())

    async def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s"
            await asyncio.sleep(0.05)

    async def outage(self, kill: Callable[[], None]) -> str:
        """The load around one signal; ends when nothing was refused for a while."""
        await asyncio.sleep(LOAD_SECONDS)
        assert not self.refused
        killed = time.monotonic()
        kill()
        await self.until(lambda: bool(self.refused))
        await self.until(lambda: self.answered[-1] > self.refused[-1] + LOAD_SECONDS)
        self.is_over = True
        back = min(moment for moment in self.answered if moment > self.refused[0])
        return (
            f"first 503 after {self.refused[0] - killed:.2f} s, last after"
            f" {self.refused[-1] - killed:.2f} s, {len(self.refused)} of them;"
            f" first 200 again after {back - killed:.2f} s"
        )


def vectors(response: httpx.Response) -> NDArray[np.float32]:
    assert response.status_code == 200, response.text
    return np.array([row["embedding"] for row in response.json()["data"]], dtype=np.float32)


def check_refusal(response: httpx.Response) -> None:
    body = response.json()
    assert 1 <= int(response.headers["retry-after"]) <= 30
    assert body["type"] == "service_unavailable_error"
    assert body["error"]["code"] == "service_unavailable"
    assert body["message"] == body["detail"] == body["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "find"),
    [
        (signal.SIGKILL, triton_of),
        (signal.SIGTERM, triton_of),
        (signal.SIGKILL, lambda service: step_of(service, "tokenizer")),
        (signal.SIGKILL, lambda service: step_of(service, "encoder")),
        (signal.SIGKILL, lambda service: step_of(service, "quantize")),
    ],
    ids=["killed-triton", "ended-triton", "killed-tokenizer", "killed-encoder", "killed-quantize"],
)
async def test_an_outage_under_load_refuses_and_recovers(
    victim: Service,
    sent: signal.Signals,
    find: Callable[[Service], int],
    request: pytest.FixtureRequest,
) -> None:
    texts = mixed_texts(CALLERS * TEXTS_OF_A_CALL, longest_words=60)
    calls = [
        texts[start : start + TEXTS_OF_A_CALL] for start in range(0, len(texts), TEXTS_OF_A_CALL)
    ]
    async with httpx.AsyncClient(
        base_url=victim.url, headers=victim.headers, timeout=PATIENCE_SECONDS
    ) as client:
        load = Load(client, calls)
        await load.remember()
        async with asyncio.TaskGroup() as group:
            for caller in range(CALLERS):
                group.create_task(load.run(caller))
            figures = await load.outage(lambda: os.kill(find(victim), sent))
    print(f"\n{request.node.callspec.id}: {figures}; {len(load.answered)} answers in all")
