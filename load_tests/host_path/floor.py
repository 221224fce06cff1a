"""What must be done for a call, in one process: no Triton, no HTTP, nobody else.

Parse the JSON, tokenize by the exported step itself, take constant rows, quantize, render. A job is
told by `worker`; the process runs the code that is measured, today's.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pybase64
from numpy.typing import NDArray

from export.steps.quantization import quantize
from export.steps.tokenization import PackedTokenizer
from load_tests.bench.step import open_step
from load_tests.host_path.bodies import Calls
from load_tests.host_path.worker import Work, serve

DIMENSIONS = 384
TENSORS = {"base64": "FLOAT", "float": "FLOAT", "int8": "INT8", "ubinary": "UBINARY"}
WARM_UP_CALLS = 4


class Floor:
    """One model; its tokenizer is the one of the exported step."""

    def __init__(self, tokenizer: PackedTokenizer) -> None:
        self._tokenizer = tokenizer
        rows = np.random.default_rng(0).standard_normal((256, DIMENSIONS), dtype=np.float32)
        self._rows: NDArray[np.float32] = rows

    def answer(self, body: bytes) -> bytes:
        call = orjson.loads(body)
        texts, encoding_format = call["input"], call["encoding_format"]
        input_ids, _ = self._tokenizer.tokenize(texts)
        tensor = TENSORS[encoding_format]
        made = quantize(self._rows[: len(texts)], DIMENSIONS, True, (tensor,))[tensor]
        data = [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(_encoded(made, encoding_format))
        ]
        tokens = len(input_ids)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": data, "model": call["model"], "usage": usage}
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _encoded(made: NDArray[Any], encoding_format: str) -> list[Any]:
    if encoding_format == "base64":
        return [pybase64.b64encode_as_string(row) for row in made]
    return list(made)


def prepare(job: dict[str, Any], floors: dict[str, Floor]) -> Work:
    folder = job["step"]
    if folder not in floors:
        floors[folder] = Floor(open_step(Path(folder)).tokenizer)
    floor = floors[folder]
    calls = Calls(**job["calls"])
    for body in calls.warm_up.bodies[:WARM_UP_CALLS]:
        floor.answer(body)
    bodies = calls.stream()

    def work() -> dict[str, Any]:
        done, cpu, began = 0, time.process_time_ns(), time.perf_counter()
        for body in bodies:
            if time.perf_counter() - began > job["seconds"]:
                break
            floor.answer(body)
            done += 1
        return {"calls": done, "floor": time.process_time_ns() - cpu}

    return work


def main() -> None:
    floors: dict[str, Floor] = {}
    serve(lambda job: prepare(job, floors))


if __name__ == "__main__":
    main()
