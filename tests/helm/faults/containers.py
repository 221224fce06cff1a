"""What is wrong with a container of a pod, that no schema sees."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from tests.helm.chart import Manifest
from tests.helm.faults.quantities import amount

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
HANDLERS = {"exec", "httpGet", "grpc", "tcpSocket", "sleep"}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
_VERSIONED = re.compile(r"[^@\s]+(@sha256:[0-9a-f]{64}|:(?!latest$)[\w][\w.-]{0,127})")


def container_faults(container: Manifest, pod: Manifest, serves: bool) -> Iterator[str]:
    """`serves` says whether it runs on, and so is probed."""
    if not _VERSIONED.fullmatch(container.get("image", "")):
        yield f"image {container.get('image')!r} names no version"
    yield from _resource_faults(container.get("resources", {}), pod)
    yield from _port_faults(container.get("ports", []))
    yield from _variable_faults(container.get("env", []))
    yield from _mount_faults(container.get("volumeMounts", []), pod)
    if serves:
        yield from (f"no {probe}" for probe in PROBES if probe not in container)
    for probe in PROBES:
        yield from (f"{probe}: {fault}" for fault in _probe_faults(container, probe))
    for hook, handler in container.get("lifecycle", {}).items():
        if len(HANDLERS & set(handler)) != 1:
            yield f"{hook}: not one handler"


def twice(values: Iterable[Any]) -> list[Any]:
    return [value for value, times in Counter(values).items() if times > 1]


def _resource_faults(resources: Manifest, pod: Manifest) -> Iterator[str]:
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    if "memory" not in limits:
        yield "no limit of memory"
    for name in sorted(requests.keys() | limits.keys()):
        try:
            asked, most = (
                amount(which[name]) if name in which else None for which in (requests, limits)
            )
        except ValueError as error:
            yield f"resources: {name}: {error}"
            continue
        if "/" in name and (asked != most or most is None or most % 1):
            yield f"resources: {name}: {asked} asked for and {most} at most, not one whole number"
        elif asked is not None and most is not None and asked > most:
            yield f"resources: {name}: more asked for than is the limit"
    claims = {claim["name"] for claim in pod.get("resourceClaims", [])}
    for claim in resources.get("claims", []):
        if claim["name"] not in claims:
            yield f"resources: no claim {claim['name']!r} in the pod"


def _port_faults(ports: list[Manifest]) -> Iterator[str]:
    for port in ports:
        if not _PORT_NAME.fullmatch(port.get("name", "")):
            yield f"port {port.get('name')!r} is no name of a port"
        if port["containerPort"] not in range(1, 65536):
            yield f"port {port['containerPort']} is none"
        if "protocol" not in port:
            yield f"port {port.get('name')!r} has no protocol"
    yield from (f"two ports {name!r}" for name in twice(port.get("name") for port in ports))
    yield from (f"two ports {port}" for port in twice(port["containerPort"] for port in ports))


def _variable_faults(variables: list[Manifest]) -> Iterator[str]:
    for variable in variables:
        if not _VARIABLE.fullmatch(variable["name"]):
            yield f"variable {variable['name']!r} is no name"
        if "value" in variable and "valueFrom" in variable:
            yield f"variable {variable['name']!r} has a value of two kinds"
    yield from (f"variable {name!r} twice" for name in twice(one["name"] for one in variables))


def _mount_faults(mounts: list[Manifest], pod: Manifest) -> Iterator[str]:
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for mount in mounts:
        if mount["name"] not in volumes:
            yield f"mount {mount['name']!r} of no volume"
        if not mount["mountPath"].startswith("/") or ":" in mount["mountPath"]:
            yield f"mount at {mount['mountPath']!r}, which is no absolute path"
    paths = (mount["mountPath"].rstrip("/") for mount in mounts)
    yield from (f"two mounts at {path}" for path in twice(paths))


def _probe_faults(container: Manifest, name: str) -> Iterator[str]:
    probe = container.get(name)
    if probe is None:
        return
    handlers = HANDLERS & set(probe)
    if len(handlers) != 1:
        yield f"handlers {sorted(handlers)}, not one"
    if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield "successThreshold is not 1"
    port = probe.get("httpGet", {}).get("port")
    if port not in {None, *(port.get("name") for port in container.get("ports", []))}:
        yield f"port {port!r} is none of the container"
