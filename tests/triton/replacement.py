"""A model replaced under load by one of another size, over and over: what callers get.

    python -m tests.triton.replacement --times 20 [--cache]

Two checkpoints, of 32 and of 64 dimensions, are exported in turns under one name while callers
embed without a pause: one text, and calls of many chunks; native size and cut; numbers and bits.
Every answer is either wholly of one edition, to the bit of its reference, or a 503 that says when
to come back. The operator switches in three ways: as docs/operations.md says, with the new steps
loaded by hand first, and with the old steps unloaded before the new ensemble is there.
"""

import argparse
import asyncio
import re
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from export import ExportOptions, ExportResult, Serving, export_model
from export.manifest import Manifest
from export.names import STEP_NAMES, step_folder
from export.steps.inference import CpuEncoder
from export.steps.quantization import quantize
from export.steps.tokenization import PackedTokenizer
from gateway.local.triton_process import LOOPBACK, TritonProcess
from tests.checkpoints import make_checkpoint
from tests.serving import API_KEY, PATIENCE_SECONDS, run_gateway
from tests.texts import mixed_texts

NAME, FOLDER = "tiny/m", "tiny--m"
SIZES = (32, 64)
CUT = 48  # what the smaller model refuses
WAYS = ("as documented", "new steps by hand first", "old steps unloaded first")
CALLERS = 8
TEXTS = mixed_texts(40, longest_words=30)
CALLS: list[tuple[slice, dict[str, Any]]] = [
    (slice(0, 1), {}),
    (slice(0, 40), {}),
    (slice(0, 40), {"encoding_format": "ubinary"}),
    (slice(3, 9), {"encoding_format": ["float", "int8"]}),
    (slice(0, 40), {"dimensions": CUT}),
    (slice(5, 6), {"dimensions": CUT, "encoding_format": "ubinary"}),
]
# With a cache, a call of which all is known may be of the old edition until Triton is asked again.
CACHE_LEARNS_SECONDS = 3.0
MAX_DIFFERENCE = 1e-6  # of unit vectors, in the company of other calls


class ExplicitTriton(TritonProcess):
    """Triton that loads and unloads what it is told to."""

    def _command(self, backends: Path) -> list[str]:
        return [*super()._command(backends), "--model-control-mode=explicit", "--load-model=*"]

    def tell(self, what: str, model: str) -> None:
        """what: load or unload."""
        url = f"http://{LOOPBACK}:{self.http_port}/v2/repository/models/{model}/{what}"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST")):
            pass


@dataclass
class World:
    """An output, the Triton that serves it, and what each edition should answer."""

    folder: Path
    triton: ExplicitTriton = field(init=False)
    references: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    way: str = WAYS[0]  # of the last switch
    is_cached: bool = False

    def __post_init__(self) -> None:
        for size in SIZES:
            make_checkpoint(self.folder / str(size), "bert", hidden_size=size)
        for size in reversed(SIZES):  # the smaller stays
            manifest = self.export(size).manifest
            self.references[size] = self.embed(manifest)
        self.triton = ExplicitTriton(self.output, self.folder / "triton.log", self.folder.name)

    @property
    def output(self) -> Path:
        return self.folder / "models"

    def export(self, size: int) -> ExportResult:
        serving = Serving(served_name=NAME, matryoshka=True)
        options = ExportOptions(
            output=self.output, checkpoint=str(self.folder / str(size)), serving=serving
        )
        return export_model(options, report=lambda line: None)

    def embed(self, manifest: Manifest) -> NDArray[np.float32]:
        """(N, D) pooled vectors of all texts by the files of an edition, one text at a time."""
        tokenizer, encoder, _ = (
            self.output / step_folder(FOLDER, manifest.edition, step) / "1" for step in STEP_NAMES
        )
        packed = PackedTokenizer(tokenizer / "tokenizer.json", 64)
        cpu = CpuEncoder(encoder / "model.onnx", threads=1)
        return np.concatenate([cpu.embed(*packed.tokenize([text])) for text in TEXTS])

    def replace(self, size: int, way: str) -> None:
        """One switch by the operator."""
        replaced = self.export(size).replaced
        self.way = way
        (edition,) = {path.name.split("@")[1][:12] for path in self.output.glob(f"{FOLDER}@*")}
        if way == WAYS[2]:
            for step in replaced:
                self.triton.tell("unload", step)
        if way == WAYS[1]:
            for step in STEP_NAMES:
                self.triton.tell("load", step_folder(FOLDER, edition, step))
        self.triton.tell("load", FOLDER)
        self.counts["replaced"] += 1
        if way != WAYS[2]:
            for step in replaced:
                self.triton.tell("unload", step)

    def check(self, texts: slice, fields: dict[str, Any], response: httpx.Response) -> None:
        """An answer is of one edition or a refusal that a client repeats; else AssertionError."""
        if response.status_code == 503:
            assert 1 <= int(response.headers["retry-after"]) <= 30
            self.counts[f"503, {self.way}: {response.json()['message']}"] += 1
            return
        body = response.json()
        if response.status_code == 422:
            assert fields.get("dimensions") == CUT
            assert body["details"] == {"dimensions": CUT, "min": 1, "max": SIZES[0]}
            self.counts["422 for a cut that the smaller model has not"] += 1
            return
        assert response.status_code == 200, response.text
        self.check_vectors(texts, fields, body)
        self.counts[f"200 of {body['dimensions']} dimensions"] += 1

    def check_vectors(self, texts: slice, fields: dict[str, Any], body: dict[str, Any]) -> None:
        d = body["dimensions"]
        assert d in ((CUT,) if "dimensions" in fields else SIZES)
        raw = self.references[max(SIZES) if d == CUT else d][texts]
        expected = quantize(raw, d, True, ["FLOAT", "INT8", "UBINARY"])
        rows = [row["embedding"] for row in body["data"]]
        columns = body["encoding_format"]
        if isinstance(columns, str):
            columns, rows = [columns], [{columns: row} for row in rows]
        for column in columns:
            found = np.array([row[column] for row in rows])
            tolerance = MAX_DIFFERENCE if column == "float" else 1 if column == "int8" else 0
            np.testing.assert_allclose(
                found.astype(float), expected[column.upper()].astype(float), atol=tolerance
            )


async def call_for_ever(world: World, client: httpx.AsyncClient, number: int) -> None:
    while True:
        number += 1
        texts, fields = CALLS[number % len(CALLS)]
        body = {"model": NAME, "input": TEXTS[texts], **fields}
        world.check(texts, fields, await client.post("/v1/embeddings", json=body))


async def replace_under_load(world: World, url: httpx.URL, times: int) -> None:
    """Fails with what the first caller found that is not right."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_SECONDS) as client,
        asyncio.TaskGroup() as group,
    ):
        callers = [
            group.create_task(call_for_ever(world, client, number)) for number in range(CALLERS)
        ]
        for number in range(times):
            size = SIZES[(number + 1) % 2]
            await asyncio.to_thread(partial(world.replace, size, way=WAYS[number % 3]))
            if world.is_cached:
                await asyncio.sleep(CACHE_LEARNS_SECONDS)
            body = {"model": NAME, "input": "x"}
            answer = (await client.post("/v1/embeddings", json=body)).json()
            assert answer["dimensions"] == size, "an old edition after the switch"
            await asyncio.sleep(0.5)
        for caller in callers:
            caller.cancel()


@contextmanager
def running(folder: Path, *, is_cached: bool = False) -> Iterator[tuple[World, httpx.Client]]:
    """Triton on the smaller model, and a gateway whose calls are cut into many chunks."""
    world = World(folder, is_cached=is_cached)
    with world.triton:
        world.triton.start()
        settings = {"GATEWAY_CHUNK_TOKENS": "64", "GATEWAY_LOG_LEVEL": "warning"}
        if is_cached:
            settings["GATEWAY_CACHE"] = "memory"
        with run_gateway(world.triton.grpc_port, **settings) as client:
            yield world, client


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.triton.replacement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--cache", action="store_true", help="with GATEWAY_CACHE=memory")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), is_cached=options.cache) as (world, client),
    ):
        asyncio.run(replace_under_load(world, client.base_url, options.times))
        print(*re.findall("gateway_cache.*", client.get("/metrics").text), sep="\n")
    for what, count in sorted(world.counts.items()):
        print(f"{count:6} {what}")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
