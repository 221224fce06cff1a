"""What goes wrong in the fleet, or is changed in it, and how long it takes to be whole again."""

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import httpx

from tests.fleet.callers import Load
from tests.fleet.cluster import Cluster
from tests.fleet.kubelet import Pod
from tests.helm.chart import Values, changed

PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.2
# The one fault of which plain callers see something: nobody can finish what a killed gateway has.
CUT = "a gateway killed (SIGKILL), calls in flight"
STALLED_SECONDS = 60.0  # for which a rollout that cannot end is looked at


class NotWhole(Exception):
    """The fleet has not come back."""


@dataclass
class Fleet:
    """What runs, who calls, and with which values it was installed last."""

    cluster: Cluster
    load: Load
    values: Values
    keys: dict[str, str]  # name → the key of the caller of that name
    history: list[Values] = field(default_factory=list)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)  # which go on for ever

    async def upgrade(self, changes: Values) -> None:
        """`helm upgrade`, of some values."""
        self.history.append(self.values)
        self.values = changed(self.values, changes)
        await self.cluster.apply(self.values)

    async def roll_back(self) -> None:
        """`helm rollback`."""
        self.values = self.history.pop()
        await self.cluster.apply(self.values)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Raises: NotWhole."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not await holds():
            for task in self.tasks:
                assert not task.done(), task.result()
            if time.monotonic() > deadline:
                raise NotWhole
            await asyncio.sleep(POLL_SECONDS)

    async def until_whole(self) -> None:
        """All pods are those wanted and available, and every gateway calls every Triton well."""
        await self.until(self.is_whole)

    async def is_whole(self) -> bool:
        if not self.cluster.is_rolled_out():
            return False
        return all([await self._is_well(pod) for pod in self.cluster.pods_of("-gateway")])

    async def _is_well(self, gateway: Pod) -> bool:
        url = f"http://{gateway.address}:{gateway.port('operations')}/health/ready"
        answer = await _get(url)
        return answer is not None and answer.is_success and not answer.json().get("tritons")

    async def kill_triton(self) -> None:
        """By the kernel, as for want of memory."""
        pod = self.cluster.pods_of("-triton")[0]
        assert pod.container is not None
        pod.container.send(signal.SIGKILL)
        await self._until_lost(pod)

    async def kill_gateway(self) -> None:
        """With the calls that it has: it is stopped until every caller has come to wait for it."""
        pod = self.cluster.pods_of("-gateway")[0]
        assert pod.container is not None
        pod.container.send(signal.SIGSTOP)
        await asyncio.sleep(1)
        pod.container.send(signal.SIGKILL)
        await self._until_lost(pod)

    async def kill_step(self) -> None:
        """A step of a Triton, which Triton itself goes on calling ready."""
        pod = self.cluster.pods_of("-triton")[0]
        assert pod.container is not None
        os.kill(pod.container.pids[-1], signal.SIGKILL)
        await self._until_lost(pod)

    async def freeze(self) -> None:
        """Every process of a Triton."""
        pod = self.cluster.pods_of("-triton")[1]
        assert pod.container is not None
        for pid in reversed(pod.container.pids):
            os.kill(pid, signal.SIGSTOP)
        await self._until_lost(pod)

    async def stop_with_open_port(self) -> None:
        """A Triton that is told to end, and cannot: its steps are frozen with what they have."""
        pod = self.cluster.pods_of("-triton")[0]
        assert pod.container is not None
        for pid in pod.container.pids[1:]:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(1)
        pod.container.send(signal.SIGTERM)
        await self._until_lost(pod)

    async def drain(self) -> None:
        """A node is emptied and comes back: one gateway and one Triton at once."""
        self.cluster.drain("one")
        await self.until(self._is_drained)
        self.cluster.uncordon("one")

    async def _is_drained(self) -> bool:
        return all(pod.node != "one" for pod in self.cluster.pods)

    async def _until_lost(self, pod: Pod) -> None:
        """Until the kubelet has ended the container."""
        container = pod.container

        async def is_lost() -> bool:
            return pod.container is not container

        await self.until(is_lost)

    async def upgrade_broken(self) -> None:
        """A revision that no Triton can load; then back."""
        await self.upgrade({"model.path": "broken"})
        await asyncio.sleep(STALLED_SECONDS)
        assert not self.cluster.is_rolled_out()
        await self.roll_back()

    async def rotate_keys(self) -> None:
        """Everybody gets a new key, moves to it, and the old ones are revoked."""
        old, new = self.keys, {f"{name}-2027": f"new {key}" for name, key in self.keys.items()}
        await self.upgrade({"gateway.auth.keys": key_entries(old | new)})
        await self.until(lambda: self._is_known(new, 200))
        for caller, key in zip(self.load.callers, new.values(), strict=True):
            caller.use(key)
        await asyncio.sleep(1)  # until the last calls with old keys are over
        await self.upgrade({"gateway.auth.keys": key_entries(new)})
        await self.until(lambda: self._is_known(old, 401))
        self.keys = new

    async def _is_known(self, keys: Mapping[str, str], status: int) -> bool:
        """Whether every gateway answers all these keys so."""
        answers = [
            await _get(f"http://{pod.address}:{pod.port('http')}/v1/models", key)
            for pod in self.cluster.pods_of("-gateway")
            for key in keys.values()
        ]
        return all(answer is not None and answer.status_code == status for answer in answers)

    async def change_model(self) -> None:
        """To the other of the two revisions."""
        paths = ["models-32", "models-64"]
        paths.remove(self.values["model"]["path"])
        await self.upgrade({"model.path": paths[0]})

    async def change_settings(self) -> None:
        await self.upgrade({"gateway.config.maxTexts": 1000})

    async def nothing(self) -> None:
        await asyncio.sleep(5)

    def faults(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """By name, in the order in which they come."""
        return {
            "nothing": self.nothing,
            "upgrade to another revision": self.change_model,
            "a Triton killed (SIGKILL)": self.kill_triton,
            CUT: self.kill_gateway,
            "a Triton that stops and keeps its port": self.stop_with_open_port,
            "a step of a Triton killed": self.kill_step,
            "a Triton frozen (SIGSTOP)": self.freeze,
            "a node drained: a gateway, a Triton": self.drain,
            "upgrade of the gateway's settings": self.change_settings,
            "upgrade to a broken revision, rolled back": self.upgrade_broken,
            "keys rotated": self.rotate_keys,
        }


def key_entries(keys: Mapping[str, str]) -> list[dict[str, str]]:
    """As `gateway.auth.keys` has them."""
    return [
        {"name": name, "digest": f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"}
        for name, key in keys.items()
    ]


async def _get(url: str, key: str = "") -> httpx.Response | None:
    """None where nobody answers."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(timeout=2, headers=headers) as client:
            return await client.get(url)
    except httpx.HTTPError:
        return None
