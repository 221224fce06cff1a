"""The life of a pod: what a kubelet does with what the chart renders."""

import asyncio
import itertools
import signal
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.fleet.images import Image
from tests.fleet.namespaces import Container, Mount, Sandbox
from tests.fleet.probes import Health, Manifest

FIRST_BACKOFF_SECONDS = 10.0  # before the second start again; twice as much each time
LONGEST_BACKOFF_SECONDS = 300.0
_numbers = itertools.count(2)  # of addresses; the first is the machine's


@dataclass(eq=False)
class Pod:
    """One pod of a Deployment, from its creation until nothing is left of it.

    template  of the Deployment
    hash      of the template
    folder    for its root and its log
    search    domains that names are looked up in
    tell      gets a line for whatever happens
    faster    what periods and waits are divided by
    """

    name: str
    template: Manifest
    hash: str
    image: Image
    folder: Path
    search: str
    tell: Callable[[str], None]
    faster: float = 1.0
    node: str = ""
    restarts: int = 0
    is_gone: bool = False
    ready_since: float | None = None  # on the monotonic clock
    container: Container | None = None
    _grace_seconds: float | None = None  # of the probe that failed
    _deleted: asyncio.Event = field(default_factory=asyncio.Event)
    _condemned: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.uid = str(uuid.uuid4())
        self.address = f"10.42.0.{next(_numbers)}"

    @property
    def spec(self) -> Manifest:
        return self.template["spec"]

    @property
    def labels(self) -> dict[str, str]:
        return self.template["metadata"]["labels"]

    def port(self, name: str) -> int:
        """A port of its container."""
        ports = {one["name"]: one["containerPort"] for one in self.spec["containers"][0]["ports"]}
        return ports[name]

    @property
    def is_deleted(self) -> bool:
        """Whether it ends, or has ended."""
        return self._deleted.is_set()

    @property
    def is_ready(self) -> bool:
        return self.ready_since is not None and not self.is_deleted

    def is_available(self, min_ready_seconds: float) -> bool:
        """Whether it has been ready for so long."""
        if self.ready_since is None or self.is_deleted:
            return False
        return time.monotonic() - self.ready_since >= min_ready_seconds / self.faster

    def is_of(self, template_hash: str) -> bool:
        return self.hash == template_hash

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def delete(self) -> None:
        """It is to end."""
        self.tell(f"{self.name} ends")
        self._deleted.set()
        self.is_gone = not self.node  # nothing was started

    async def run(self, mounts: Sequence[Mount]) -> None:
        """Until it is deleted and has ended.

        mounts  of its container
        """
        (manifest,) = self.spec["containers"]
        sandbox = Sandbox(self.name, self.address, self.folder, self.search)
        is_read_only = manifest["securityContext"]["readOnlyRootFilesystem"]
        await sandbox.make(mounts, is_read_only)
        try:
            while not self.is_deleted:
                await self._run_once(sandbox, manifest)
                if not self.is_deleted:
                    await self._back_off()
        finally:
            await sandbox.remove()
            self.is_gone = True
            self.tell(f"{self.name} is gone")

    async def _run_once(self, sandbox: Sandbox, manifest: Manifest) -> None:
        self._condemned.clear()
        self._grace_seconds = None
        command, environ = self.image.start(manifest, self.uid)
        self.container = container = await sandbox.start(command, environ, self.log)
        self.tell(f"{self.name} starts on {self.node}")
        watcher = asyncio.create_task(
            Health.read(manifest, self.faster).watch(
                container, self.address, self._set_ready, self._condemn
            )
        )
        exited = asyncio.create_task(container.wait())
        events = [asyncio.create_task(one.wait()) for one in (self._condemned, self._deleted)]
        await asyncio.wait([exited, *events], return_when=asyncio.FIRST_COMPLETED)
        if not exited.done():
            await self._end(container, manifest, exited)
        for task in [watcher, *events]:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._set_ready(False)
        self.container = None
        self.tell(f"{self.name} exited with {exited.result()}")

    async def _end(
        self, container: Container, manifest: Manifest, exited: "asyncio.Task[int]"
    ) -> None:
        """preStop, SIGTERM, and SIGKILL when the grace period is over."""
        began = time.monotonic()
        hook = manifest.get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})
        await asyncio.wait([exited], timeout=hook["sleep"]["seconds"] / self.faster)
        container.send(signal.SIGTERM)
        grace_seconds = self._grace_seconds
        if grace_seconds is None:
            grace_seconds = self.spec["terminationGracePeriodSeconds"]
        left = began + grace_seconds - time.monotonic()
        await asyncio.wait([exited], timeout=max(left, 2.0))
        if not exited.done():
            self.tell(f"{self.name} is killed after its grace period")
            container.send(signal.SIGKILL)
            await exited

    def _condemn(self, probe: str, grace_seconds: float | None) -> None:
        if not self._condemned.is_set() and not self.is_deleted:
            self.tell(f"{self.name} fails its {probe} probe")
            self._grace_seconds = grace_seconds
            self._condemned.set()

    def _set_ready(self, ready: bool) -> None:
        if ready and self.ready_since is None:
            self.ready_since = time.monotonic()
            self.tell(f"{self.name} is ready")
        elif not ready and self.ready_since is not None:
            self.ready_since = None
            self.tell(f"{self.name} is not ready")

    async def _back_off(self) -> None:
        """The first start again comes at once."""
        seconds = FIRST_BACKOFF_SECONDS * 2 ** (self.restarts - 1) if self.restarts else 0.0
        self.restarts += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, LONGEST_BACKOFF_SECONDS) / self.faster):
                await self._deleted.wait()
