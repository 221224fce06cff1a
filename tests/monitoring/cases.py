"""When each alert must fire, and when just not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.monitoring.rules import GATEWAYS, NAMESPACE, RELEASE, TRITONS

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Series:
    """One series of a case.

    bad, below, good  its value each minute, or how much a counter grows in one; None is no sample
    """

    metric: str
    labels: Labels
    bad: float | None
    below: float | None
    good: float | None
    is_counter: bool = False

    def notation(self, *phases: tuple[Literal["bad", "below", "good"], int]) -> str:
        """Values of promtool, for so many minutes of each phase."""
        words, value = [], 0.0
        for phase, minutes in phases:
            number: float | None = getattr(self, phase)
            if number is None:
                words.append(f"_x{minutes}")
            elif self.is_counter:
                words.append(f"{value + number:g}+{number:g}x{minutes - 1}")
                value += number * minutes
            else:
                words.append(f"{number:g}x{minutes - 1}")
        return " ".join(words)


@dataclass(frozen=True)
class Case:
    """One alert.

    minutes  of bad values after which it fires; a minute before the end of its `for` it does not
    labels   that it fires with, beside those of all alerts
    summary  what it says then
    """

    series: Sequence[Series]
    summary: str
    minutes: int
    labels: Labels = field(default_factory=dict)


POD = {"pod": "g-1"}
_CALLS = {"route": "create_embeddings"}


def gateway(
    metric: str, bad: float | None, below: float | None, good: float | None, **labels: str
) -> Series:
    ours = {"namespace": NAMESPACE, "service": GATEWAYS} | POD
    return Series(metric, ours | labels, bad, below, good, metric.endswith(("_total", "_bucket")))


def triton(metric: str, bad: float | None, below: float | None, **labels: str) -> Series:
    ours = {"namespace": NAMESPACE, "service": TRITONS, "pod": "t-1"}
    good = 1 if metric == "up" else 0
    return Series(metric, ours | labels, bad, below, good, metric != "up")


def kubernetes(metric: str, bad: float, below: float, good: float, **labels: str) -> Series:
    return Series(metric, {"namespace": NAMESPACE} | labels, bad, below, good, "_total" in metric)


def calls(of_minute: float = 1000) -> Series:
    return gateway(
        "gateway_requests_total", of_minute, of_minute, of_minute, status="200", **_CALLS
    )


CASES: dict[str, Case] = {
    "EmbeddingsFailing": Case(
        [
            calls(),
            gateway("gateway_requests_total", 20, 9, 0, status="503", **_CALLS),
            gateway("gateway_requests_total", 0, 900, 0, status="503", route="ready"),
        ],
        "1.961% of the calls are answered with 5xx",
        minutes=12,
    ),
    "EmbeddingsOverloaded": Case(
        [
            calls(),
            gateway("gateway_rejected_total", 60, 49, 0, reason="overloaded", model="m"),
            gateway("gateway_rejected_total", 0, 100, 0, reason="rate_limit_exceeded", model="m"),
        ],
        "6% of the calls are refused with 429 `overloaded`",
        minutes=16,
    ),
    "EmbeddingsSlow": Case(
        [
            gateway("gateway_call_seconds_bucket", number, below, 100, le=le, lane=lane, model="m")
            for le, lane, number, below in [
                ("1.0", "interactive", 98, 99.1),
                ("2.0", "interactive", 100, 100),
                ("+Inf", "interactive", 100, 100),
                ("1.0", "bulk", 0, 0),
                ("2.0", "bulk", 100, 100),
                ("+Inf", "bulk", 100, 100),
            ]
        ],
        "one small call of m in a hundred takes longer than 1.5s",
        minutes=16,
        labels={"model": "m"},
    ),
    "EmbeddingsBacklog": Case(
        [
            gateway("gateway_waiting_tokens", 10_000, 7000, 0, lane="bulk"),
            gateway("gateway_waiting_tokens", 2000, 2000, 0, lane="interactive"),
            gateway("gateway_tokens_total", 60_000, 60_000, 60_000, model="m"),
        ],
        "12s of work wait, at the rate of the last five minutes",
        minutes=16,
    ),
    "EmbeddingsKeyLimited": Case(
        [
            gateway("gateway_rate_limited_total", 60, 49, 0, key="acme", limit="tokens"),
            gateway("gateway_key_requests_total", 60, 49, 0, key="acme", status="429"),
            gateway("gateway_key_requests_total", 40, 51, 100, key="acme", status="200"),
        ],
        "60% of the calls of the key acme are above its limits",
        minutes=48,
        labels={"key": "acme"},
    ),
    "EmbeddingsUnready": Case(
        [
            gateway("gateway_ready", 0, 0, 1),
            gateway("gateway_ready", 0, 1, 1, pod="g-2"),
        ],
        "0 gateways are ready",
        minutes=2,
    ),
    "EmbeddingsGatewayUnready": Case(
        [
            gateway("gateway_ready", 0, 1, 1),
            gateway("gateway_ready", 1, None, 1, pod="g-2"),
        ],
        "gateway_ready of g-1 is 0 for ten minutes",
        minutes=11,
        labels=POD | {"service": GATEWAYS},
    ),
    "EmbeddingsGatewayGone": Case(
        [gateway("up", 0, 0, 1), gateway("up", None, 1, 1, pod="g-2")],
        "0 gateways answer Prometheus",
        minutes=6,
    ),
    "EmbeddingsTritonGone": Case(
        [triton("up", 0, 0), triton("up", None, 1, pod="t-2")],
        "0 Tritons answer Prometheus",
        minutes=11,
    ),
    "EmbeddingsTargetDown": Case(
        [triton("up", 0, 1), triton("up", 1, None, pod="t-2"), gateway("up", 1, 1, 1)],
        "t-1 does not answer Prometheus: up is 0",
        minutes=11,
        labels={"pod": "t-1", "service": TRITONS},
    ),
    "EmbeddingsTritonDown": Case(
        [
            gateway("gateway_triton_up", 0, 1, 1, triton="10.0.0.1:8001"),
            gateway("gateway_triton_up", 1, None, 1, triton="10.0.0.1:8001", pod="g-2"),
            gateway("gateway_triton_up", 1, 1, 1, triton="10.0.0.2:8001"),
        ],
        "the Triton 10.0.0.1:8001 is not asked: gateway_triton_up is 0",
        minutes=11,
        labels={"triton": "10.0.0.1:8001"},
    ),
    "EmbeddingsUpstreamErrors": Case(
        [
            gateway("gateway_upstream_errors_total", 2, 0, 0, code="timeout"),
            gateway("gateway_upstream_errors_total", 0, 9, 0, code="overloaded"),
        ],
        "30 calls in 15 minutes were answered with timeout",
        minutes=32,
        labels={"code": "timeout"},
    ),
    "EmbeddingsRetriesRefused": Case(
        [
            gateway("gateway_retries_total", 3, 0, 0, reason="unavailable", result="refused"),
            gateway("gateway_retries_total", 0, 9, 0, reason="unavailable", result="sent"),
        ],
        "45 chunks in 15 minutes were lost (unavailable) and not sent to another Triton",
        minutes=16,
        labels={"reason": "unavailable"},
    ),
    "EmbeddingsRevisionsMixed": Case(
        [
            gateway("gateway_model_tritons", 1, 0, 0, model="m", revision="1a2b"),
            gateway("gateway_model_tritons", 2, 2, 2, model="m", revision="3c4d"),
            gateway("gateway_model_tritons", 2, 2, 2, model="n", revision="5e6f"),
        ],
        "2 revisions of m are served for two hours",
        minutes=121,
        labels={"model": "m"},
    ),
    "EmbeddingsKeyFileInvalid": Case(
        [gateway("gateway_key_file_valid", 0, 1, 1)],
        "g-1 goes on with old keys: gateway_key_file_valid is 0",
        minutes=6,
        labels=POD | {"service": GATEWAYS},
    ),
    "EmbeddingsUsageUnwritten": Case(
        [gateway("gateway_usage_unwritten_records", 7, 0, 0)],
        "7 records of the usage log wait in the memory of g-1",
        minutes=6,
        labels=POD | {"service": GATEWAYS},
    ),
    "EmbeddingsUsageLost": Case(
        [
            gateway("gateway_usage_lost_records_total", 2, 0, 0),
            gateway("gateway_usage_sync_failures_total", 0, 0, 0),
        ],
        "120 records of the usage log of g-1 were lost in an hour, or writes not confirmed",
        minutes=61,
        labels=POD | {"service": GATEWAYS},
    ),
    "EmbeddingsLimitsAlone": Case(
        [gateway("gateway_rate_limit_errors_total", 60, 0, 0)],
        "Redis leaves 1 questions a second for limits of g-1 unanswered",
        minutes=12,
        labels=POD | {"service": GATEWAYS},
    ),
    "EmbeddingsCacheAway": Case(
        [gateway("gateway_cache_errors_total", 120, 0, 0)],
        "Redis leaves 2 questions a second for the cache of g-1 unanswered",
        minutes=16,
        labels=POD | {"service": GATEWAYS},
    ),
    "EmbeddingsCertificateExpires": Case(
        [
            gateway(
                "gateway_tls_certificate_expiry_timestamp_seconds",
                6 * 86400 + 62 * 60,
                7 * 86400 + 4 * 3600,
                90 * 86400,
            )
        ],
        "the certificate of g-1 ends in 6d 0h 0m 0s",
        minutes=62,
        labels=POD | {"service": GATEWAYS},
    ),
    "EmbeddingsReplicasMissing": Case(
        [
            kubernetes(f"kube_deployment_{what}", bad, 2, 2, deployment=f"{RELEASE}-triton")
            for what, bad in (("spec_replicas", 2), ("status_replicas_available", 1))
        ],
        f"1 pods of {RELEASE}-triton are missing for a quarter of an hour",
        minutes=16,
        labels={"deployment": f"{RELEASE}-triton"},
    ),
    "EmbeddingsRestarting": Case(
        [
            kubernetes(
                "kube_pod_container_status_restarts_total", 0.1, 0.045, 0,
                pod=f"{RELEASE}-triton-6d5f-abcde", container="triton",
            )
        ],
        f"triton of {RELEASE}-triton-6d5f-abcde was started again 6 times in an hour",
        minutes=61,
        labels={"pod": f"{RELEASE}-triton-6d5f-abcde", "container": "triton"},
    ),
    "EmbeddingsExportFailed": Case(
        [kubernetes("kube_job_status_failed", 1, 0, 0, job_name=f"{RELEASE}-export-1a2b3c4d")],
        f"1 pods of the Job {RELEASE}-export-1a2b3c4d failed",
        minutes=1,
        labels={"job_name": f"{RELEASE}-export-1a2b3c4d"},
    ),
}  # fmt: skip
