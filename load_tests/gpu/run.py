"""What every part is given: rows, shapes, graphs, and how long to measure."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from load_tests.gpu.rows import Case, Rows
from load_tests.gpu.shapes import Shape, graph_of
from load_tests.gpu.weights import fill

LIBRARIES = (
    "onnxruntime-gpu",
    *("torch", "transformers", "sentence-transformers", "tokenizers"),
    *("nvidia-pytriton", "numpy"),
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    seconds: float = 2.0  # of a rate
    calls: int = 300  # of a latency
    query_seconds: float = 10.0  # of queries under bulk
    service_seconds: float = 15.0  # of the whole service under bulk
    callers: int = 16  # of bulk
    call_texts: int = 64  # of each of its calls
    texts: int = 24  # whose vectors are compared
    longest: int = 200  # tokens of such a text
    matrix: int = 8192  # rows and columns of the roof's product, and half as many
    copy_mib: int = 4096
    peer_texts: int = 4096  # of one pass of a peer


REAL = Effort()
# Where figures mean nothing.
FAKE = Effort(
    seconds=0.02,
    calls=3,
    query_seconds=0.3,
    service_seconds=0.5,
    callers=2,
    call_texts=2,
    texts=3,
    longest=30,
    matrix=256,
    copy_mib=1,
    peer_texts=2,
)


@dataclass(frozen=True, slots=True)
class Run:
    """One part of a call.

    graphs  made by `graphs`, weights filled in when they are needed
    fake    no GPU: CUDA is a fake one, torch uses the CPU
    """

    rows: Rows
    shapes: tuple[Shape, ...]
    graphs: Path
    fake: bool

    @property
    def effort(self) -> Effort:
        return FAKE if self.fake else REAL

    def graph(self, shape: Shape, form: str) -> Path:
        """With its weights."""
        path = graph_of(self.graphs, shape, form)
        fill(path)
        return path

    @contextmanager
    def each(self, part: str, case: Case) -> Iterator[None]:
        """A session and its rows: where it cannot be opened, the others go on."""
        with self.rows.errors_of(part, case):
            yield


def versions() -> dict[str, str]:
    """Of what is installed."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
