"""onnxruntime as the encoder step opens it, and OpenVINO, in turns on one core of one process.

Reads a job as JSON from its argument's file and prints what it found as JSON. It runs in an
environment with both engines, with the repository's root and `export/steps` on its path.
"""

import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
from inference import CpuEncoder, Feeder
from numpy.typing import NDArray

from load_tests.bench.packing import micro_batches

Embed = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float32]]

BLOCK_SECONDS = 0.2  # of CPU, at least, between two looks at the clock


def main(job: dict[str, Any]) -> dict[str, Any]:
    """The figures of each engine: numerics, then CPU milliseconds a text, a number a round."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    encoder = CpuEncoder(Path(job["exact"]), 1)
    feeder = Feeder(onnxruntime.InferenceSession(job["exact"], providers=["CPUExecutionProvider"]))
    engines = {name: _open(engine, feeder) for name, engine in job["engines"].items()}
    texts = job["workloads"]["bulk"]
    exact = _embeddings(encoder.embed_beside, texts, job["tokens"])
    found = {}
    for name, (embed, tokens) in engines.items():
        among, alone = _embeddings(embed, texts, tokens), _embeddings(embed, texts, 1)
        cosines = (among * exact).sum(axis=1)
        found[name] = {
            "lowest_cosine": float(cosines.min()),
            "mean_cosine": float(cosines.mean()),
            "equal": int((among == alone).all(axis=1).sum()),
            "difference": float(abs(among - alone).max()),
        }
    milliseconds: dict[str, dict[str, list[float]]] = {}
    for workload, texts in job["workloads"].items():
        rows: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(job["rounds"] + 1):  # the first warms up
            for name, (embed, tokens) in engines.items():
                most = 1 if workload in job["alone"] else tokens
                spent = _cpu_milliseconds(embed, micro_batches(texts, most)) / len(texts)
                rows[name] += [spent] if number else []
        milliseconds[workload] = rows
    return {"numerics": found, "milliseconds": milliseconds, "texts": len(exact)}


def _open(engine: dict[str, Any], feeder: Feeder) -> tuple[Embed, int]:
    """What embeds a micro-batch, and the tokens of one.

    feeder  for a graph that carries no notes of its own
    """
    if engine["runtime"] == "onnxruntime":
        return CpuEncoder(Path(engine["model"]), 1).embed_beside, engine["tokens"]
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = engine["group"]
    compiled = openvino.Core().compile_model(engine["model"], "CPU", settings)
    names = [value.get_any_name() for value in compiled.inputs]
    request = compiled.create_infer_request()

    def embed(input_ids: NDArray[Any], seq_lens: NDArray[Any]) -> NDArray[np.float32]:
        feeds = feeder.feeds(input_ids, seq_lens)
        rows: NDArray[np.float32] = request.infer({name: feeds[name] for name in names})[0].copy()
        return rows

    return embed, engine["tokens"]


def _embeddings(embed: Embed, texts: Sequence[list[int]], tokens: int) -> NDArray[np.float32]:
    """(N, D) unit vectors of texts that are sorted by length."""
    rows = np.concatenate([embed(*batch) for batch in micro_batches(texts, tokens)])
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _cpu_milliseconds(embed: Embed, batches: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Of all micro-batches once."""
    began, times = _cpu_seconds(), 0
    while (spent := _cpu_seconds() - began) < BLOCK_SECONDS or not times:
        for batch in batches:
            embed(*batch)
        times += 1
    return 1000 * spent / times


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
