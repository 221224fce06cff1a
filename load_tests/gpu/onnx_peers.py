"""Ourselves among the peers, and a padded graph by the same provider."""

from collections.abc import Sequence
from concurrent.futures import wait
from contextlib import closing
from functools import partial

import numpy as np
import onnxruntime

from export.serving import micro_batch_tokens
from export.steps.batching import Batcher
from export.steps.inference import CudaEncoder
from export.steps.inference.cuda import PROVIDER, provider_options
from export.steps.inference.device import find_device
from export.steps.memory import Memory
from load_tests.gpu.padding import pad
from load_tests.gpu.run import Run
from load_tests.gpu.shapes import PACKED, PADDED, Ids, Shape
from load_tests.gpu.timing import Pass, each

REQUEST_TEXTS = 64
BATCHES = (32, 256)  # of the padded graph


def measure(run: Run) -> None:
    for shape in run.shapes:
        budgets = {"formula": micro_batch_tokens(shape.product_weights), "16k": 16_384}
        for name, tokens in budgets.items():
            each(run, shape, f"ours, {name}", partial(ours, run, shape, tokens))
        for size in BATCHES:
            peer = f"padded ONNX, CUDA provider, {size}"
            each(run, shape, peer, partial(padded, run, shape, size))


def ours(run: Run, shape: Shape, budget: int) -> Pass:
    """Requests of 64 texts, all at once, through the product's batcher and encoder."""
    encoder = CudaEncoder(run.graph(shape, PACKED))
    memory = Memory(encoder.text_bytes, encoder.threads, encoder.working_mib(budget))

    def run_pass(texts: Sequence[Ids]) -> None:
        requests = [
            texts[start : start + REQUEST_TEXTS] for start in range(0, len(texts), REQUEST_TEXTS)
        ]
        with closing(Batcher(encoder, budget, memory)) as batcher:
            answers = [
                batcher.submit(np.concatenate(each), np.array(list(map(len, each)), dtype=np.int32))
                for each in requests
            ]
            wait(answers)
        for answer in answers:
            answer.result()

    return run_pass


def padded(run: Run, shape: Shape, size: int) -> Pass:
    """A graph as torch exports it, batches of texts as they come, one after the other."""
    find_device(0)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it would tell of nodes that compute shapes, on the CPU
    session = onnxruntime.InferenceSession(
        run.graph(shape, PADDED), options, providers=[(PROVIDER, provider_options(0))]
    )
    if PROVIDER not in session.get_providers():
        raise RuntimeError(f"the padded graph does not run by {PROVIDER}")

    def run_pass(texts: Sequence[Ids]) -> None:
        for start in range(0, len(texts), size):
            input_ids, mask = pad(texts[start : start + size])
            session.run(None, {"INPUT_IDS": input_ids, "ATTENTION_MASK": mask})

    return run_pass
