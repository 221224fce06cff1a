"""Two real gateways before two real Tritons, with everything on that can be watched."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import trustme

from gateway.local.triton_process import LOOPBACK, free_ports
from load_tests.redis_server import RedisServer, running_redis
from tests.helm.chart import render
from tests.helm.variants import VARIANTS
from tests.monitoring.distance import Wire, wires
from tests.monitoring.prometheus import Target
from tests.monitoring.rules import GATEWAYS, NAMESPACE, RELEASE, TRITONS
from tests.prometheus import target_labels
from tests.triton import night
from tests.triton.fleet import SIZES, Member, Revision, make_revision

KEYS = {name: f"te-{name}-key" for name in ("search", "indexer", "guest")}
GUEST_CALLS = 60  # a minute
TIMEOUT_SECONDS = 4.0
DISK_KIB = 65536
WATCHED = render(VARIANTS["watched"])
GPU_LABELS = f'namespace="{NAMESPACE}",service="{TRITONS}",pod="triton-0",gpu_uuid="GPU-0"'


class Gateway(night.Gateway):
    """One that is asked for its health at a port of its own, since it speaks HTTPS to callers."""

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.environ['GATEWAY_OPERATIONS_PORT']}"

    @property
    def calls_url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"


@dataclass
class Exporter:
    """What runs nowhere here: kube-state-metrics of a cluster, and Triton's figures of a GPU."""

    server: ThreadingHTTPServer
    numbers: dict[str, float] = field(default_factory=dict)

    def tell(self, **changes: float) -> None:
        self.numbers |= changes

    def text(self) -> str:
        told = self.numbers
        deployment = f'namespace="{NAMESPACE}",deployment="{RELEASE}-triton"'
        pod = f'namespace="{NAMESPACE}",pod="{RELEASE}-triton-6d5f-abcde",container="triton"'
        job = f'namespace="{NAMESPACE}",job_name="{RELEASE}-export-1a2b3c4d"'
        gpu = GPU_LABELS
        lost = f'namespace="{NAMESPACE}",service="{GATEWAYS}",pod="played",reason="unavailable"'
        return (
            f"kube_deployment_spec_replicas{{{deployment}}} 2\n"
            f"kube_deployment_status_replicas_available{{{deployment}}} {told['available']}\n"
            f"kube_pod_container_status_restarts_total{{{pod}}} {told['restarts']}\n"
            f"kube_job_status_failed{{{job}}} {told['failed']}\n"
            f'gateway_retries_total{{{lost},result="refused"}} {told["refused"]}\n'
            f"nv_gpu_utilization{{{gpu}}} 0.71\nnv_gpu_power_usage{{{gpu}}} 212\n"
            f"nv_gpu_memory_used_bytes{{{gpu}}} 3e9\nnv_gpu_memory_total_bytes{{{gpu}}} 24e9\n"
        )


@contextmanager
def exporting() -> Iterator[Exporter]:
    """An exporter on loopback that ends with the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exporter.text().encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            with suppress(OSError):  # who asks may be tired of waiting
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    exporter = Exporter(server)
    exporter.tell(available=2, restarts=0, failed=0, refused=0)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield exporter
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def key_table(names: Sequence[str] = tuple(KEYS)) -> str:
    """Limits of a guest are low, those of the others only make them counted."""
    return "".join(
        f'[[keys]]\nname = "{name}"\n'
        f'digest = "sha256:{hashlib.sha256(KEYS[name].encode()).hexdigest()}"\n'
        f"requests_per_minute = {GUEST_CALLS if name == 'guest' else 1_000_000}\n"
        for name in names
    )


@dataclass
class Fleet:
    """Everything that runs."""

    folder: Path
    authority: trustme.CA
    revisions: list[Revision]
    members: list[Member]
    wires: list[Wire]
    gateways: list[Gateway]
    redis: RedisServer
    exporter: Exporter
    can_fill: bool

    @property
    def usage(self) -> Path:
        return self.folder / "usage"

    @property
    def targets(self) -> list[Target]:
        """What Prometheus scrapes, labelled as by the ServiceMonitors."""
        gateways = [
            Target(
                int(one.environ["GATEWAY_OPERATIONS_PORT"]),
                target_labels(WATCHED, "gateway", f"gateway-{n}"),
            )
            for n, one in enumerate(self.gateways)
        ]
        tritons = [
            Target(one.metrics_port, target_labels(WATCHED, "triton", f"triton-{n}"))
            for n, one in enumerate(self.members)
        ]
        return [*gateways, *tritons, Target(self.exporter.server.server_port, {})]

    def certify(self, days: int) -> None:
        certify(self.folder, self.authority, days)

    def write_keys(self, text: str) -> None:
        (self.folder / "keys.toml").write_text(text)


def certify(folder: Path, authority: trustme.CA, days: int) -> None:
    """The gateways' certificate, good for so many days and an hour."""
    until = datetime.now(UTC) + timedelta(days=days, hours=1)
    pair = authority.issue_cert(LOOPBACK, not_after=until)
    pair.private_key_pem.write_to_path(folder / "tls.key")
    pair.cert_chain_pems[0].write_to_path(folder / "tls.crt")


def environment(folder: Path, tritons: str, redis: str, cache: str) -> dict[str, str]:
    """Settings of a gateway.

    tritons  their addresses
    """
    (operations,) = free_ports(1)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
    return inherited | {
        "GATEWAY_TRITON_ADDRESS": tritons,
        "GATEWAY_API_KEYS_FILE": str(folder / "keys.toml"),
        "GATEWAY_OPERATIONS_PORT": str(operations),
        "GATEWAY_OPERATIONS_HOST": LOOPBACK,
        "GATEWAY_TLS_CERT_FILE": str(folder / "tls.crt"),
        "GATEWAY_TLS_KEY_FILE": str(folder / "tls.key"),
        "GATEWAY_REDIS_URL": redis,
        "GATEWAY_CACHE": cache,
        "GATEWAY_CACHE_SECRET": "a secret of sixteen letters and more",
        "GATEWAY_USAGE_LOG": str(folder / "usage"),
        "GATEWAY_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        "GATEWAY_MAX_INFLIGHT_TOKENS": "40000",
    }


@contextmanager
def running_fleet(folder: Path) -> Iterator[Fleet]:
    """It ends with the block."""
    (folder / "usage").mkdir()
    revisions = [make_revision(folder, size) for size in SIZES]
    with ExitStack() as stack:
        can_fill = stack.enter_context(night.small_disk(folder / "usage", DISK_KIB))
        redis = stack.enter_context(running_redis())
        exporter = stack.enter_context(exporting())
        members = [
            stack.enter_context(
                Member(revisions[0].repository, folder / f"triton-{n}.log", f"watched-{n}")
            )
            for n in range(2)
        ]
        long_wires = stack.enter_context(wires(*(member.grpc_port for member in members)))
        tritons = ",".join(f"{LOOPBACK}:{wire.port}" for wire in long_wires)
        gateways = [  # one of each cache, so that both are seen
            Gateway(environment(folder, tritons, redis.url, cache), folder / f"{cache}.log")
            for cache in ("redis", "memory")
        ]
        fleet = Fleet(
            folder,
            trustme.CA(),
            revisions,
            members,
            long_wires,
            gateways,
            redis,
            exporter,
            can_fill,
        )
        fleet.certify(days=90)
        fleet.write_keys(key_table())
        for member in members:
            member.start()
        for gateway in gateways:
            gateway.start()
            stack.callback(gateway.kill)
        yield fleet
