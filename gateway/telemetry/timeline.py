"""Timeline: when a call did what, and how much of it was there to do.

It is written while the call goes on and read once it is over, by all that an operator sees: the
line in the access log, metrics, `Server-Timing`, traces.
"""

from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Literal, Protocol, TypeAlias

from gateway.errors import GatewayError

# In their order: its body comes and is parsed; chunks wait for their turn, or the answer for room;
# Triton has the last chunk, or nothing was asked of it; numbers are encoded; JSON is written.
Stage = Literal["read", "queue", "triton", "cache", "encode", "render"]
# What follows each, unless a call fails.
_NEXT: dict[Stage, Stage] = {
    "read": "queue",
    "queue": "triton",
    "triton": "queue",
    "cache": "queue",
    "encode": "render",
    "render": "render",
}
# Of a gRPC request.
Metadata: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Inference:
    """A chunk that a Triton was asked for, from the question to the answer.

    triton  its address
    tokens  estimated, until Triton has counted them
    error   the code of what came instead of an answer, empty if one came
    metadata  what tells Triton of the trace, if there is one
    """

    triton: str
    texts: int
    tokens: int
    began: float = 0.0
    ended: float = 0.0
    error: str = ""
    metadata: Metadata | None = None

    def __enter__(self) -> "Inference":
        self.began = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        """It was answered, or failed."""
        self.ended = perf_counter()
        if error is not None:
            self.error = error.code if isinstance(error, GatewayError) else GatewayError.code


class Trace(Protocol):
    """The trace of a request, see `tracing`.

    id  empty if it goes nowhere
    """

    id: str

    def infer(self, inference: Inference) -> Metadata | None:
        """Notes a chunk on its way to Triton, which is told if the trace goes somewhere."""
        ...

    def end(self, timeline: "Timeline", route: str, status: int) -> None:
        """Hands it over to who sends it, in a thread of its own.

        route   template of the path, empty if there is none
        status  0 if nobody was left to hear it
        """
        ...


@dataclass(slots=True)
class Timeline:
    """Of one request; only calls for embeddings have stages.

    model       its id, empty until it is known that it is served
    lane        of its chunks, `interactive` or `bulk`
    tokens      as fed to the encoder
    dimensions  of the embeddings, 0 until there are any
    trace       None where nobody wants any
    inferences  what Triton was asked for; some may end after the request, or never
    error       the code of the answer, empty if all went well
    """

    request_id: str
    model: str = ""
    revision: str = ""
    lane: str = ""
    texts: int = 0
    tokens: int = 0
    dimensions: int = 0
    error: str = ""
    started: float = field(default_factory=perf_counter)
    ends: list[tuple[Stage, float]] = field(default_factory=list)
    inferences: list[Inference] = field(default_factory=list)
    trace: Trace | None = None

    def ended(self, stage: Stage) -> None:
        """What went on since the last stage ended, or the request began, was `stage`."""
        end = stage, perf_counter()
        if self.ends and self.ends[-1][0] == stage:  # of the chunk before
            self.ends[-1] = end
        else:
            self.ends.append(end)

    def infer(self, triton: str, texts: int, tokens: int) -> Inference:
        """A chunk on its way to a Triton; entered when it is sent, left with its answer."""
        inference = Inference(triton, texts, tokens, perf_counter())
        self.inferences.append(inference)
        if self.trace is not None:
            inference.metadata = self.trace.infer(inference)
        return inference

    def failed(self, code: str) -> None:
        """It goes no further than the stage that follows the last one."""
        self.error = code
        if self.model:
            self.ended(_NEXT[self.ends[-1][0]] if self.ends else "read")

    def seconds(self) -> dict[Stage, float]:
        """How long each stage took, those that came to their end. Chunks wait side by side:
        until the last of them has its turn all of it is `queue`."""
        seconds: dict[Stage, float] = {}
        since = self.started
        for stage, end in self.ends:
            seconds[stage] = seconds.get(stage, 0.0) + end - since
            since = end
        return seconds

    def server_timing(self, seconds: float) -> str:
        """The value of the header of that name, as browsers show it: milliseconds.

        seconds  since the request began

        Source: W3C, Server Timing, section 3.
        """
        stages = [f"{stage};dur={took * 1000:.2f}" for stage, took in self.seconds().items()]
        return ", ".join([*stages, f"total;dur={seconds * 1000:.2f}"])
