"""Traces as the rest of the gateway knows them, and whether there are any.

OpenTelemetry is imported by `spans` alone, and that by nobody until an endpoint is set.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.telemetry.timeline import Timeline

# The standard's variables, which every SDK of OpenTelemetry reads: those with a place to send to.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"

logger = logging.getLogger(__name__)


class Tracing(Protocol):
    """What makes a trace of a request."""

    def begin(
        self, timeline: Timeline, method: str, scheme: str, headers: Mapping[str, Sequence[str]]
    ) -> None:
        """Gives the timeline its trace.

        headers  of the request, in lower case, those of W3C's Trace Context at least
        """
        ...

    def close(self) -> None:
        """Sends what is left, for a few seconds at most."""
        ...


def open_tracing(environ: Mapping[str, str]) -> Tracing | None:
    """Traces to where OpenTelemetry's variables say; none is none.

    What is wrong with them is said in the log: they may be meant for others in the same pod, and
    no service ends for want of a trace.
    """
    if not _is_wanted(environ):
        return None
    protocol = next(filter(None, map(environ.get, _PROTOCOLS)), PROTOCOL)
    if protocol != PROTOCOL:
        logger.warning("no traces: OTLP goes out as %s only, not as %s", PROTOCOL, protocol[:20])
        return None
    try:
        from gateway.telemetry.spans import open_exporter
    except ImportError:
        logger.warning("no traces: they need pip install 'triton-embeddings[traces]'")
        return None
    return open_exporter()


def _is_wanted(environ: Mapping[str, str]) -> bool:
    is_disabled = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    has_exporter = environ.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    return has_exporter and not is_disabled and any(map(environ.get, _ENDPOINTS))
