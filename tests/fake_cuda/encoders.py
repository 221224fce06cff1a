"""An exported encoder on the fake CUDA, fed as the step feeds it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from export.steps.inference import Layout
from export.steps.inference.cuda import PROVIDER, provider_options
from tests.fake_cuda.sessions import Feeds, Outcome, Plan, run_session

LENGTHS = (50, 60, 40, 30)  # of texts, in tokens


def run_encoder(model_onnx: Path, *micro_batches: Sequence[int], **settings: str) -> Outcome:
    """What happens at a load and at micro-batches one after the other, each as lengths of texts.

    settings  of the device, as of `in_fake_cuda`
    """
    graph = onnx.load(model_onnx, load_external_data=False).graph
    names = [value.name for value in graph.input]
    return run_session(
        Plan(
            model_onnx,
            [[_feeds(names, lengths)] for lengths in micro_batches],
            provider_options(0),
            {"enable_mem_pattern": False, "intra_op_num_threads": 1},
            {"session.disable_cpu_ep_fallback": "1"},
        ),
        **settings,
    )


def elsewhere(outcome: Outcome) -> list[str]:
    """Operators that did not run on the GPU, or that bring a value to it or from it."""
    return [
        operator
        for operator, provider in outcome.nodes
        if provider != PROVIDER or "Memcpy" in operator
    ]


def _feeds(names: Sequence[str], lengths: Sequence[int]) -> Feeds:
    seq_lens = np.array(lengths, dtype=np.int32)
    layout = Layout(np.zeros(int(seq_lens.sum()), dtype=np.int64), seq_lens)
    arrays = {name: getattr(layout, name.lower()) for name in names}
    return {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
