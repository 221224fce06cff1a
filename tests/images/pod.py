"""Gateway and Triton in one pod, started as the kubelet would from what the chart renders."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helm.chart import Manifest, changed, container_of, environment, render, worked
from tests.images.building import Unpacked
from tests.images.container import Container, Mount, Program, running
from tests.images.questions import EMBED, READY

PORT = 8080  # of calls: the two share a network here, and Triton has 8000
KEYS = "/etc/triton-embeddings/keys"
VALUES = changed(
    worked("cpu"), {"gateway.config.port": PORT, "gateway.auth": {"existingSecret": "keys"}}
)


@dataclass(frozen=True)
class Parts:
    """What a pod is made of."""

    folder: Path  # for containers
    gateway: Unpacked
    triton: Unpacked
    keys: Path  # folder of the key file
    shared_memory: Path  # outlives a container, as an emptyDir does
    key: str
    repository: Mount
    user: str = ""  # instead of the images'


class Pod:
    """One that is ready."""

    def __init__(self, parts: Parts, triton: Container, gateway: Container) -> None:
        self.key, self.triton, self.gateway = parts.key, triton, gateway
        self.started_seconds: dict[str, float] = {}

    def embed(self, texts: str) -> dict[str, Any]:
        """The answer to a call with a JSON list of texts, asked from beside the gateway."""
        given = {"PORT": str(PORT), "API_KEY": self.key, "TEXTS": texts}
        return self.triton.python(EMBED, **given)


def manifests() -> list[Manifest]:
    return render(VALUES)


def triton_program(parts: Parts) -> Program:
    container = container_of(manifests(), "-triton")
    variables = {one["name"]: one.get("value", "pod") for one in container["env"]}
    return Program(
        parts.triton.image,
        parts.triton.root,
        arguments=expanded(container["args"], variables),
        environment=variables,
        mounts=[parts.repository, Mount(parts.shared_memory, "/dev/shm", read_only=False)],  # noqa: S108
        user=parts.user,
    )


def gateway_program(parts: Parts, hosts: Path) -> Program:
    return Program(
        parts.gateway.image,
        parts.gateway.root,
        environment=environment(manifests()),
        mounts=[Mount(parts.keys, KEYS), Mount(hosts, "/etc/hosts")],
        user=parts.user,
    )


def liveness(suffix: str) -> Sequence[str]:
    """The command that the chart asks whether a container is alive."""
    command: list[str] = container_of(manifests(), suffix)["livenessProbe"]["exec"]["command"]
    return command


def expanded(arguments: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """$(NAME) by the value of a variable."""
    return [re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], one) for one in arguments]


@contextmanager
def running_pod(parts: Parts) -> Iterator[Pod]:
    """A pod that is ready: Triton first, then the gateway within its network."""
    hosts = parts.folder / "hosts"
    name = environment(manifests())["GATEWAY_TRITON_ADDRESS"].removeprefix("dns:///")
    hosts.write_text(f"127.0.0.1 localhost {name.partition(':')[0]}\n")
    with ExitStack() as stack:
        began = time.monotonic()
        program = triton_program(parts)
        triton = stack.enter_context(running(parts.folder, "triton", program))
        triton.wait_for("python3", "-c", READY.format(port=8000, path="/v2/health/ready"))
        triton_seconds = time.monotonic() - began
        began = time.monotonic()
        program = gateway_program(parts, hosts)
        beside = running(parts.folder, "gateway", program, network=triton.network)
        gateway = stack.enter_context(beside)
        gateway.wait_for("python3", "-c", READY.format(port=9090, path="/health/live"))
        live_seconds = time.monotonic() - began
        gateway.wait_for("python3", "-c", READY.format(port=9090, path="/health/ready"))
        pod = Pod(parts, triton, gateway)
        pod.started_seconds = {"triton-cpu": triton_seconds, "gateway": live_seconds}
        yield pod
