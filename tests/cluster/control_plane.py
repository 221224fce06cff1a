"""etcd, API server, scheduler and controllers on loopback, on free ports, gone with the block."""

import secrets
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import trustme
import yaml

from gateway.local.triton_process import LOOPBACK, free_ports
from tests.cluster.api import Api, ApiError
from tests.cluster.build import BINARIES

PATIENCE_SECONDS = 90.0  # to be ready, on two shared cores
# Who may talk to it, and in which group; the first two may do everything.
GROUPS = {
    "admin": "system:masters",
    "kubelet": "system:masters",
    "installer": "",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}
# What Kubernetes checks by Pod Security today it did by PodSecurityPolicies.
ADMISSION = "PodSecurityPolicy"


@dataclass
class ControlPlane:
    """A running control plane."""

    folder: Path
    url: str
    tokens: dict[str, str] = field(repr=False)

    def api(self, user: str = "admin") -> Api:
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        return Api(self.url, self.tokens[user], context)

    def kubeconfig(self, user: str) -> Path:
        """Written for programs that talk to it as this user."""
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "ca.pem")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Ready to be used; data and logs are in `folder`."""
    etcd = shutil.which("etcd") or sys.exit("etcd is missing: apt-get install etcd-server")
    certify(folder)
    client, peer, port = free_ports(3)
    tokens = {user: secrets.token_hex(16) for user in GROUPS}
    write_tokens(folder / "tokens.csv", tokens)
    plane = ControlPlane(folder, f"https://{LOOPBACK}:{port}", tokens)
    with ExitStack() as stack:
        stack.enter_context(running(folder, "etcd", [etcd, *etcd_flags(folder, client, peer)]))
        server = api_server_flags(folder, client, port)
        process = stack.enter_context(running(folder, "kube-apiserver", server))
        wait_until_ready(plane, process)
        stack.enter_context(running(folder, "kube-controller-manager", controller_flags(plane)))
        stack.enter_context(running(folder, "kube-scheduler", scheduler_flags(plane)))
        yield plane


def certify(folder: Path) -> None:
    """A certificate for loopback, and a key that tokens of service accounts are signed with."""
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name in ("server", "service-accounts"):
        made = authority.issue_cert(LOOPBACK, key_type=trustme.KeyType.RSA)
        made.private_key_pem.write_to_path(folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")


def write_tokens(file: Path, tokens: dict[str, str]) -> None:
    file.touch(mode=0o600)
    lines = [f'{token},{user},{user},"{GROUPS[user]}"\n' for user, token in tokens.items()]
    file.write_text("".join(lines))


def etcd_flags(folder: Path, client: int, peer: int) -> list[str]:
    at, peers = f"http://{LOOPBACK}:{client}", f"http://{LOOPBACK}:{peer}"
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={at}",
        f"--advertise-client-urls={at}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
    ]


def api_server_flags(folder: Path, etcd: int, port: int) -> list[str]:
    return [
        str(BINARIES / "kube-apiserver"),
        f"--etcd-servers=http://{LOOPBACK}:{etcd}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--tls-cert-file={folder / 'server.pem'}",
        f"--tls-private-key-file={folder / 'server.key'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--anonymous-auth=false",
        "--authorization-mode=RBAC",
        f"--enable-admission-plugins={ADMISSION}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'service-accounts.pem'}",
        f"--service-account-signing-key-file={folder / 'service-accounts.key'}",
    ]


def controller_flags(plane: ControlPlane) -> list[str]:
    return [
        str(BINARIES / "kube-controller-manager"),
        f"--kubeconfig={plane.kubeconfig('system:kube-controller-manager')}",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={plane.folder / 'service-accounts.key'}",
        f"--root-ca-file={plane.folder / 'ca.pem'}",
        "--leader-elect=false",
        "--port=0",
        "--secure-port=0",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
        # Metrics of pods are a custom resource here, which has no protobuf.
        "--kube-api-content-type=application/json",
        "--horizontal-pod-autoscaler-sync-period=1s",
    ]


def scheduler_flags(plane: ControlPlane) -> list[str]:
    return [
        str(BINARIES / "kube-scheduler"),
        f"--kubeconfig={plane.kubeconfig('system:kube-scheduler')}",
        "--leader-elect=false",
        "--port=0",
        "--secure-port=0",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
    ]


@contextmanager
def running(folder: Path, name: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(plane: ControlPlane, process: subprocess.Popen[bytes]) -> None:
    """Raises: RuntimeError with what the API server has said last."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with plane.api() as api:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                api.get("/readyz")
                return
            except (ApiError, httpx.TransportError):
                time.sleep(0.1)
    said = (plane.folder / "kube-apiserver.log").read_text().splitlines()[-5:]
    raise RuntimeError("the API server is not ready: " + "\n".join(said))
