"""Pods of a Deployment of Tritons, the part that is simulated.

Two cores cannot run eight Tritons. A pod is a gRPC server that takes as long for its tokens as its
capacity says, one request after the other, and is there some time after it was asked for.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2_grpc

from load_tests.bench.constant import declare
from tests.fakes import ENSEMBLE, PARAMETERS, FakeTriton, render_outputs, unpack_texts
from tests.scaling.clock import Clock

DIMENSIONS = 8  # few, so that answers cost nothing
DESCRIPTION = PARAMETERS | {"dimensions": str(DIMENSIONS), "matryoshka": "false"}


def count_tokens(text: bytes) -> int:
    """Words, and two special tokens."""
    return text.count(b" ") + 3


@dataclass
class LimitedTriton(FakeTriton):
    """A Triton that embeds so many tokens a second.

    tokens  that it has embedded
    """

    configs: dict[str, Any] = field(
        default_factory=lambda: {ENSEMBLE: declare(ENSEMBLE, DESCRIPTION)}
    )
    clock: Clock = field(default_factory=lambda: Clock(1))
    tokens_per_second: float = 1.0
    tokens: int = 0
    _free_at: float = 0.0

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        counts = [count_tokens(text) for text in unpack_texts(request.raw_input_contents[0])]
        begins = max(self._free_at, self.clock.now())
        self._free_at = begins + sum(counts) / self.tokens_per_second
        await self.clock.sleep_until(self._free_at)
        self.tokens += sum(counts)
        unit = np.zeros((len(counts), DIMENSIONS), np.float32)
        unit[:, 0] = 1
        arrays = {
            "FLOAT": unit,
            "TOKEN_COUNT": np.array(counts, np.int32),
            "WIDTH": np.array([DIMENSIONS], np.int32),
        }
        return render_outputs(request, arrays, self.edition)


@dataclass(eq=False)
class Pod:
    """host is a loopback address of its own; ready once its server answers."""

    host: str
    triton: LimitedTriton
    server: grpc.aio.Server | None = None
    starting: "asyncio.Task[None] | None" = None

    @property
    def is_ready(self) -> bool:
        return self.server is not None


class Deployment:
    """Some pods, and the file that tells who of them is ready.

    hosts  makes an address for the next pod
    port   of gRPC, the same for all
    names  the file, in place of the cluster's DNS
    """

    def __init__(
        self,
        clock: Clock,
        hosts: Callable[[], str],
        port: int,
        names: Path,
        *,
        tokens_per_second: float,
        start_seconds: float,
        grace_seconds: float,
    ) -> None:
        self.pods: list[Pod] = []
        self._clock, self._hosts, self._port, self._names = clock, hosts, port, names
        self._tokens_per_second = tokens_per_second
        self._start_seconds, self._grace_seconds = start_seconds, grace_seconds
        self._ending: set[asyncio.Task[None]] = set()
        self._tritons: list[LimitedTriton] = []

    @property
    def tokens(self) -> int:
        """That all its pods have embedded."""
        return sum(triton.tokens for triton in self._tritons)

    @property
    def ready(self) -> Sequence[Pod]:
        return [pod for pod in self.pods if pod.is_ready]

    async def begin(self, pods: int) -> None:
        """With so many that are ready already."""
        for _ in range(pods):
            self.pods.append(pod := self._make())
            await self._serve(pod)

    def scale(self, pods: int) -> None:
        """Starts some, or ends some: first those that are not ready, then the youngest."""
        while len(self.pods) < pods:
            self.pods.append(pod := self._make())
            pod.starting = asyncio.create_task(self._start(pod))
        while len(self.pods) > pods:
            pod = next((one for one in reversed(self.pods) if not one.is_ready), self.pods[-1])
            self.pods.remove(pod)
            self._end(pod)
        self._tell()

    async def close(self) -> None:
        for pod in self.pods:
            self._end(pod, 0)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _make(self) -> Pod:
        triton = LimitedTriton(clock=self._clock, tokens_per_second=self._tokens_per_second)
        self._tritons.append(triton)
        return Pod(self._hosts(), triton)

    async def _start(self, pod: Pod) -> None:
        await self._clock.sleep(self._start_seconds)
        await self._serve(pod)

    async def _serve(self, pod: Pod) -> None:
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(pod.triton, server)
        server.add_insecure_port(f"{pod.host}:{self._port}")
        await server.start()
        pod.server = server
        self._tell()

    def _end(self, pod: Pod, grace_seconds: float | None = None) -> None:
        """It finishes what it has, and what is still sent to it within its grace."""
        if pod.starting:
            pod.starting.cancel()
        if pod.server:
            seconds = self._grace_seconds if grace_seconds is None else grace_seconds
            task = asyncio.create_task(self._stop(pod.server, seconds))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _stop(self, server: grpc.aio.Server, grace_seconds: float) -> None:
        await self._clock.sleep(grace_seconds)
        await server.stop(None)

    def _tell(self) -> None:
        told = self._names.with_suffix(".new")
        told.write_text(json.dumps([pod.host for pod in self.ready]))
        told.replace(self._names)
