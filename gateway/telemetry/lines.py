"""What the log says of a request, in words and in fields.

Lines are not frozen, since every request makes one and that would be half of what it costs.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from gateway.telemetry.timeline import Timeline


class Line(ABC):
    """A message that is more than words; `str` of it is for people."""

    __slots__ = ()

    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """For JSON, `message` among them."""


@dataclass(slots=True)
class AccessLine(Line):
    """What the log says of one request."""

    method: str
    route: str
    status: int
    seconds: float
    key: str
    timeline: Timeline

    def __str__(self) -> str:
        line = self.timeline
        size = f"texts={line.texts} tokens={line.tokens}" if line.tokens else ""
        return (
            f"{self.method} {self.route} {self.status} {self.seconds * 1000:.1f}ms"
            f" {line.request_id} key={self.key} {size}"
        )

    def fields(self) -> dict[str, Any]:
        """Those that it has; times in milliseconds."""
        line = self.timeline
        fields = {
            "message": f"{self.method} {self.route} {self.status}",
            "request_id": line.request_id,
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "total_ms": round(self.seconds * 1000, 3),
        }
        optional = {
            "error": line.error,
            "trace_id": line.trace.id if line.trace else "",
            "key": self.key.removeprefix("-"),
            "model": line.model,
            "texts": line.texts,
            "tokens": line.tokens,
            "chunks": len(line.inferences),
        }
        fields |= {name: value for name, value in optional.items() if value}
        stages = line.seconds().items()
        return fields | {f"{stage}_ms": round(took * 1000, 3) for stage, took in stages}


@dataclass(slots=True)
class FailureLine(Line):
    """What an operator has to know of a request that its caller could not have put right.

    reason  why, in words of ours or of Triton's, none of the caller's
    """

    request_id: str
    code: str
    message: str
    reason: str

    def __str__(self) -> str:
        return f"{self.request_id} {self.message}: {self.reason}"

    def fields(self) -> dict[str, Any]:
        message = f"{self.message}: {self.reason}"
        return {"message": message, "request_id": self.request_id, "error": self.code}
