"""The real Triton on repositories of the tests: `run_triton` for one of its own, `toy_triton`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from export import ExportOptions, Serving, export_model
from export.checkpoint import DEFAULT_CHECKPOINT
from gateway.local.triton_process import TritonProcess
from tests.checkpoints import make_checkpoint
from tests.serving import Service, serve

TOY_CONFIG = """
backend: "python"
max_batch_size: 0
input [
  { name: "TEXT" data_type: TYPE_STRING dims: [ -1 ] },
  { name: "TRUNCATION" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "DIMENSIONS" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "NORMALIZED" data_type: TYPE_BOOL dims: [ 1 ] }
]
output [
  { name: "FLOAT" data_type: TYPE_FP32 dims: [ -1, -1 ] },
  { name: "FLOAT16" data_type: TYPE_FP16 dims: [ -1, -1 ] },
  { name: "INT8" data_type: TYPE_INT8 dims: [ -1, -1 ] },
  { name: "UINT8" data_type: TYPE_UINT8 dims: [ -1, -1 ] },
  { name: "BINARY" data_type: TYPE_INT8 dims: [ -1, -1 ] },
  { name: "UBINARY" data_type: TYPE_UINT8 dims: [ -1, -1 ] },
  { name: "TOKEN_COUNT" data_type: TYPE_INT32 dims: [ -1 ] },
  { name: "WIDTH" data_type: TYPE_INT32 dims: [ 1 ] }
]
instance_group [ { kind: KIND_CPU count: 1 } ]
parameters { key: "served_name" value { string_value: "toy" } }
parameters { key: "dimensions" value { string_value: "4" } }
parameters { key: "max_length" value { string_value: "8" } }
parameters { key: "matryoshka" value { string_value: "false" } }
"""

TOY_MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        count = len(pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy())
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("FLOAT", np.full((count, 4), 0.5, np.float32)),
            pb_utils.Tensor("TOKEN_COUNT", np.full(count, 3, np.int32)),
            pb_utils.Tensor("WIDTH", np.array([4], np.int32)),
        ])
"""

RunTriton = Callable[[Path], TritonProcess]


@pytest.fixture(scope="session")
def run_triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunTriton]:
    """Starts Triton on a repository, once a session; it ends with the session."""
    running: dict[Path, TritonProcess] = {}
    with ExitStack() as stack:

        def run(repository: Path) -> TritonProcess:
            if repository not in running:
                log = tmp_path_factory.mktemp("triton") / "triton.log"
                triton = TritonProcess(repository, log, log.parent.name)
                running[repository] = stack.enter_context(triton)
                triton.start()
            return running[repository]

        yield run


@pytest.fixture(scope="session")
def toy_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One python model with the tensors of an ensemble; every text is [0.5, 0.5, 0.5, 0.5]."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "toy/1").mkdir(parents=True)
    (folder / "toy/config.pbtxt").write_text(TOY_CONFIG)
    (folder / "toy/1/model.py").write_text(TOY_MODEL)
    return folder


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """all-MiniLM-L6-v2, and random weights of native size 1024 and limit 512 under a known name."""
    folder = tmp_path_factory.mktemp("exported")
    output = folder / "models"
    large = make_checkpoint(
        folder / "large",
        "bert-cls",
        hidden_size=1024,
        num_attention_heads=16,
        max_position_embeddings=512,
        max_length=512,
    )
    servings = {
        DEFAULT_CHECKPOINT: Serving(served_name=DEFAULT_CHECKPOINT),
        str(large): Serving(served_name="mixedbread-ai/mxbai-embed-large-v1", matryoshka=True),
    }
    for checkpoint, serving in servings.items():
        options = ExportOptions(output=output, checkpoint=checkpoint, serving=serving)
        export_model(options, report=lambda line: None)
    return output


@pytest.fixture(scope="session")
def service(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service on both models, once a session."""
    with serve(repository, tmp_path_factory.mktemp("service")) as service:
        yield service
