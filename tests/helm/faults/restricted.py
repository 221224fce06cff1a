"""The Pod Security standard `restricted` as Kubernetes 1.37 has it, baseline included.

One function for each row of its table; https://kubernetes.io/docs/concepts/security/pod-security-standards
"""

from collections.abc import Iterator
from typing import Any

from tests.helm.chart import Manifest
from tests.helm.kinds import RESTRICTED_VOLUMES

SELINUX_TYPES = {
    *("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"),
}
PROFILES = {"RuntimeDefault", "Localhost"}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    *(f"net.ipv4.ip_{name}" for name in ("local_port_range", "unprivileged_port_start")),
    *(f"net.ipv4.{name}" for name in ("ip_local_reserved_ports", "ping_group_range")),
    *(f"net.ipv4.tcp_{name}" for name in ("syncookies", "fin_timeout", "rmem", "wmem")),
    *(f"net.ipv4.tcp_keepalive_{name}" for name in ("time", "intvl", "probes")),
}


def restricted_faults(pod: Manifest) -> Iterator[str]:
    """What would keep this spec of a pod out of a namespace that enforces the standard."""
    containers = [
        one
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for one in pod.get(kind, [])
    ]
    yield from _host(pod)
    yield from _volumes(pod)
    yield from _context(pod.get("securityContext", {}), "pod")
    for container in containers:
        context = container.get("securityContext", {})
        yield from _context(context, container["name"])
        yield from (f"{container['name']}: {fault}" for fault in _container(container, pod))
        yield from (f"{container['name']}: {fault}" for fault in _addresses(container))


def _host(pod: Manifest) -> Iterator[str]:
    yield from (key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key))


def _volumes(pod: Manifest) -> Iterator[str]:
    for volume in pod.get("volumes", []):
        for kind in sorted(set(volume) - RESTRICTED_VOLUMES - {"name"}):
            yield f"volume {volume['name']!r} is a {kind}"


def _context(context: Manifest, where: str) -> Iterator[str]:
    """What pods and containers alike may not set otherwise."""
    selinux = context.get("seLinuxOptions", {})
    checks: dict[str, Any] = {
        "runs as user 0": context.get("runAsUser") != 0,
        "runAsNonRoot is false": context.get("runAsNonRoot") is not False,
        "another seccomp profile": _profile(context, "seccompProfile") in PROFILES | {None},
        "another AppArmor profile": _profile(context, "appArmorProfile") in PROFILES | {None},
        "another SELinux type": selinux.get("type", "") in SELINUX_TYPES,
        "a SELinux user or role": not (selinux.get("user") or selinux.get("role")),
        "a process of the Windows host": not context.get("windowsOptions", {}).get("hostProcess"),
        "a sysctl that is not safe": {one["name"] for one in context.get("sysctls", [])} <= SYSCTLS,
    }
    yield from (f"{where}: {fault}" for fault, passes in checks.items() if not passes)


def _profile(context: Manifest, key: str) -> str | None:
    return context.get(key, {}).get("type")


def _container(container: Manifest, pod: Manifest) -> Iterator[str]:
    context, of_pod = container.get("securityContext", {}), pod.get("securityContext", {})
    capabilities = context.get("capabilities", {})
    checks = {
        "privileged": not context.get("privileged"),
        "may become more (allowPrivilegeEscalation)": context.get("allowPrivilegeEscalation")
        is False,
        "keeps capabilities": "ALL" in capabilities.get("drop", []),
        "adds capabilities": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
        "another procMount": context.get("procMount", "Default") == "Default",
        "runAsNonRoot is not said": context.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is True,
        "no seccomp profile": bool(
            _profile(context, "seccompProfile") or _profile(of_pod, "seccompProfile")
        ),
        "a port of the host": not any(port.get("hostPort") for port in container.get("ports", [])),
    }
    yield from (fault for fault, passes in checks.items() if not passes)


def _addresses(container: Manifest) -> Iterator[str]:
    """Probes and hooks that ask another host, since 1.34."""
    asked = {
        **{key: container[key] for key in container if key.endswith("Probe")},
        **container.get("lifecycle", {}),
    }
    for name, handler in asked.items():
        if any(handler.get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket")):
            yield f"{name} asks another host"
