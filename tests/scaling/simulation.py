"""One scenario: gateways, Prometheus, scaler, pods and callers until it is over."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

import aiohttp

from gateway.local.triton_process import LOOPBACK, free_ports
from tests.helm.chart import Manifest, Values, changed, pick, render, worked
from tests.scaling.clock import Clock
from tests.scaling.gateways import make_gateways
from tests.scaling.hpa import SYNC_SECONDS
from tests.scaling.keda import Scaler
from tests.scaling.load import Call, Load
from tests.scaling.pods import Deployment
from tests.scaling.prometheus import Prometheus, configuration
from tests.scaling.scenarios import Scenario

CAPACITY = 4000  # tokens a second of a pod: its windows are half a second of work, as on a GPU
START_SECONDS = 90.0  # of a pod: an image that is there already, a model that is loaded
GATEWAYS = 2
KEYS = 8
SAMPLE_SECONDS = 5.0


class Sample(NamedTuple):
    """Pods at a moment: asked for, and ready."""

    at: float
    pods: int
    ready: int


class Decision(NamedTuple):
    """Pods at a moment: how many there should be, and the values of the triggers."""

    at: float
    pods: int
    values: Sequence[float | None]


@dataclass
class Outcome:
    """What a scenario came to.

    manifest  the ScaledObject
    waiting   moments and tokens, as Prometheus had them
    tokens    that Tritons embedded
    late_seconds  that the simulation itself came too late, at worst: what the machine blurred
    """

    scenario: Scenario
    manifest: Manifest
    samples: list[Sample] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    waiting: Sequence[tuple[float, float]] = ()
    tokens: int = 0
    late_seconds: float = 0.0


def values_of(scenario: Scenario) -> Values:
    """Of the worked fleet, but for what a machine gives and a pod's capacity."""
    here = {
        "triton.capacityTokensPerSecond": CAPACITY,
        "gateway.config.host": LOOPBACK,
        "gateway.config.logLevel": "warning",
    }
    return changed(worked("autoscaling"), here | dict(scenario.values))


class Simulation:
    """Everything of one scenario.

    number  keeps its addresses apart from those of others
    others  begin at the same moment: what starts takes the time of what is judged
    """

    def __init__(
        self, scenario: Scenario, number: int, folder: Path, speed: float, others: asyncio.Barrier
    ) -> None:
        self.scenario, self._folder, self._others = scenario, folder, others
        self.manifests = render(values_of(scenario))
        self.outcome = Outcome(scenario, pick(self.manifests, "ScaledObject"))
        self._speed = speed
        *ports, self._triton_port, self._prometheus_port = free_ports(2 * GATEWAYS + 2)
        self._ports = list(zip(ports[::2], ports[1::2], strict=True))
        pods = count(1)
        self._hosts: Callable[[], str] = lambda: f"127.77.{number}.{next(pods)}"
        self._names = folder / "names.json"
        self._keys = [secrets.token_urlsafe() for _ in range(KEYS)]

    async def run(self) -> Outcome:
        folder = self._folder
        folder.mkdir(parents=True)
        connector = aiohttp.TCPConnector(limit=0)
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            self._session, self._clock = session, Clock(self._speed)
            self._deployment = await stack.enter_async_context(self._deploy())
            self._gateways = make_gateways(
                self.manifests,
                folder,
                self._names,
                ports=self._ports,
                triton_port=self._triton_port,
                keys=self._keys,
                speed=self._speed,
            )
            self._prometheus = Prometheus(folder / "prometheus", self._prometheus_port, self._clock)
            addresses = [gateway.operations for gateway in self._gateways]
            self._prometheus.configure(configuration(self.manifests, addresses, self._speed))
            stack.push_async_callback(self._prometheus.stop)
            for gateway in self._gateways:
                stack.push_async_callback(gateway.stop)
                await gateway.start(session)
            await self._prometheus.start(session)
            await self._others.wait()
            await self._play()
        return self.outcome

    @asynccontextmanager
    async def _deploy(self) -> AsyncIterator[Deployment]:
        template = pick(self.manifests, "Deployment", "-triton")["spec"]["template"]["spec"]
        deployment = Deployment(
            Clock(self._speed),  # of its own: what a pod was asked before the beginning is past
            self._hosts,
            self._triton_port,
            self._names,
            tokens_per_second=CAPACITY,
            start_seconds=START_SECONDS,
            grace_seconds=template["terminationGracePeriodSeconds"],
        )
        await deployment.begin(self.outcome.manifest["spec"]["minReplicaCount"])
        try:
            yield deployment
        finally:
            await deployment.close()

    async def _play(self) -> None:
        scenario, clock = self.scenario, self._clock
        clock.restart()
        end = 60 * scenario.minutes
        urls = [gateway.url for gateway in self._gateways]
        load = Load(clock, self._session, urls, self._keys, scenario.name, self.outcome.calls)
        followers = [asyncio.create_task(self._scale()), asyncio.create_task(self._sample())]
        async with asyncio.TaskGroup() as group:
            for work in (
                load.offer(lambda at: CAPACITY * scenario.pods_worth(at / 60), end),
                load.question(0 if scenario.is_silent else end),
                self._do_job(load),
                self._take_prometheus_away(),
                self._begin_anew(),
            ):
                group.create_task(work)
        for follower in followers:
            follower.cancel()
        outcomes = await asyncio.gather(*followers, return_exceptions=True)
        for failure in outcomes:
            if isinstance(failure, Exception):
                raise failure
        await load.finish()
        self.outcome.tokens = self._deployment.tokens
        query = "sum(gateway_waiting_tokens)"
        self.outcome.waiting = await self._prometheus.ask_range(self._session, query, end)

    async def _scale(self) -> None:
        """As the HPA's controller does, for ever."""
        scaler = Scaler(
            self.outcome.manifest,
            lambda query: self._prometheus.ask(self._session, query),
            self._clock.now,
        )
        for turn in count(1):
            await self._clock.sleep_until(turn * SYNC_SECONDS)
            pods = await scaler.decide(len(self._deployment.pods))
            self._deployment.scale(pods)
            self.outcome.decisions.append(Decision(self._clock.now(), pods, scaler.values))

    async def _sample(self) -> None:
        for turn in count():
            await self._clock.sleep_until(turn * SAMPLE_SECONDS)
            late = self._clock.now() - turn * SAMPLE_SECONDS
            self.outcome.late_seconds = max(self.outcome.late_seconds, late)
            deployment = self._deployment
            pods, ready = len(deployment.pods), len(deployment.ready)
            self.outcome.samples.append(Sample(self._clock.now(), pods, ready))

    async def _do_job(self, load: Load) -> None:
        if job := self.scenario.job:
            await self._clock.sleep_until(60 * job.begin)
            await load.work_through(job.workers, 60 * job.end)

    async def _take_prometheus_away(self) -> None:
        if away := self.scenario.away:
            begin, end = away
            await self._clock.sleep_until(60 * begin)
            await self._prometheus.stop()
            await self._clock.sleep_until(60 * end)
            await self._prometheus.start(self._session)

    async def _begin_anew(self) -> None:
        for minute in self.scenario.restarts:
            await self._clock.sleep_until(60 * minute)
            for gateway in self._gateways:
                await gateway.stop()
                await gateway.start(self._session)
