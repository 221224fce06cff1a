"""What gateway, Triton and tests ask of their pods: settings, paths, addresses that are there."""

import re
from collections.abc import Iterator

from gateway.settings import VARIABLES, Settings, SettingsError
from tests.helm.chart import Manifest
from tests.helm.faults.pods import Pod, pods
from tests.helm.faults.references import name_of, of_kind, own_name

PATHS = {
    "gateway": {"/health/live", "/health/ready"},
    "triton": {"/v2/health/live", "/v2/health/ready"},
}
_SETTINGS = {variable.name for variable in VARIABLES.values()}
_URL = re.compile(r"https?://([a-z0-9-]+):([0-9]+)")


def product_faults(manifests: list[Manifest]) -> Iterator[str]:
    services = {
        (name_of(one), str(port["port"]))
        for one in of_kind(manifests, "Service")
        for port in one["spec"]["ports"]
    }
    for pod in pods(manifests):
        found = [*_path_faults(pod), *_file_faults(pod)]
        if pod.component == "gateway":
            found += _setting_faults(pod)
        for name, value in pod.variables.items():
            called = _URL.fullmatch(value)
            ours = called and called[1].startswith(f"{own_name(manifests)}-")
            if called and ours and called.groups() not in services:
                found.append(f"{name} is {value}, and no Service is there")
        yield from (f"{pod.kind}/{pod.name}: {fault}" for fault in found)
    for one in of_kind(manifests, "ServiceAccount"):
        if one.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount/{name_of(one)}: its token is mounted"


def _setting_faults(pod: Pod) -> Iterator[str]:
    """The gateway reads no variable that it does not know, and says nothing of it."""
    given = [one["name"] for one in pod.spec["containers"][0].get("env", [])]
    for name in given:
        if name.startswith("GATEWAY_") and name not in _SETTINGS:
            yield f"no setting {name}"
    try:
        Settings.from_environ(pod.variables)
    except SettingsError as error:
        yield f"the gateway ends: {error}"


def _path_faults(pod: Pod) -> Iterator[str]:
    for container in pod.spec["containers"]:
        for name, probe in container.items():
            asked = probe.get("httpGet", {}).get("path") if name.endswith("Probe") else None
            if asked is not None and asked not in PATHS.get(pod.component, set()):
                yield f"{name} asks {asked}"


def _file_faults(pod: Pod) -> Iterator[str]:
    """Files that are named lie in something that is mounted; nobody writes to the model."""
    container = pod.spec["containers"][0]
    mounts = container.get("volumeMounts", [])
    folders = [mount["mountPath"].rstrip("/") + "/" for mount in mounts]
    variables = {
        name: value
        for name, value in pod.variables.items()
        if name.startswith("GATEWAY_") and name.endswith(("_FILE", "_LOG"))
    }
    named = {
        **variables,
        **dict(one.split("=", 1) for one in container.get("args", []) if "-repository=" in one),
    }
    for name, value in named.items():
        if not any(f"{value}/".startswith(folder) for folder in folders):
            yield f"{name} is {value}, where nothing is mounted"
    memory = {v["name"] for v in pod.spec.get("volumes", []) if v.get("emptyDir", {}).get("medium")}
    for mount in mounts:
        if mount["name"] in memory and mount["mountPath"] != "/dev/shm":  # noqa: S108
            yield f"shared memory is at {mount['mountPath']}"
        if pod.kind == "Deployment" and mount["name"] == "repository" and not mount.get("readOnly"):
            yield "the model can be written"
