"""A step of an exported repository, run in this process as Triton would run it."""

import importlib.util
import json
import sys
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from google.protobuf import json_format, text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2

STAND_IN = "triton_python_backend_utils"  # the module that only Triton's own process has


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    array: NDArray[Any]

    def as_numpy(self) -> NDArray[Any]:
        return self.array


@dataclass(frozen=True, slots=True)
class Response:
    output_tensors: tuple[Tensor, ...] = ()
    error: object = None


class Logger:
    """Of Triton, which nobody reads here."""

    @staticmethod
    def log_info(message: str) -> None:
        """Says nothing."""


class Request:
    """Tensors by name; resolves `answer` when the step sends one."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = {tensor.name: tensor for tensor in tensors}
        self.answer: Future[Response] = Future()

    def get_response_sender(self) -> "Request":
        return self

    def send(self, response: Response, flags: int) -> None:
        self.answer.set_result(response)


class EncoderStep:
    """model.py of one encoder, with its settings."""

    def __init__(self, folder: Path) -> None:
        """folder: NAME-encoder of a model repository."""
        self.onnx = folder / "1" / "model.onnx"
        self.config = read_config(folder)
        self._model = open_step(folder)

    @property
    def instances(self) -> int:
        return sum(group.count for group in self.config.instance_group) or 1

    def number(self, parameter: str) -> int:
        return int(self.config.parameters[parameter].string_value)

    def run(self, requests: list[Request]) -> None:
        """All at once; returns when all are answered, and throws the answers away."""
        self._model.execute(requests)
        for request in requests:
            response = request.answer.result()
            assert response.error is None, response.error


def read_config(folder: Path) -> model_config_pb2.ModelConfig:
    """The config.pbtxt of a step."""
    text = (folder / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def open_step(folder: Path) -> Any:
    """The TritonPythonModel of a step, with the settings of its config.pbtxt.

    folder  NAME-STEP of a model repository
    """
    model = _load(folder / "1").TritonPythonModel()
    settings = json_format.MessageToDict(read_config(folder), preserving_proto_field_name=True)
    model.initialize(
        {
            "model_config": json.dumps(settings),
            "model_repository": str(folder),
            "model_version": "1",
            "model_instance_device_id": "0",
        }
    )
    return model


def request(texts: list[list[int]]) -> Request:
    """What the tokenizer hands to the encoder for one request."""
    lengths = np.array([[len(ids) for ids in texts]], dtype=np.int32)
    input_ids = np.concatenate([np.array(ids, dtype=np.int64) for ids in texts])[np.newaxis]
    return Request(Tensor("INPUT_IDS", input_ids), Tensor("SEQ_LENS", lengths))


def _load(folder: Path) -> ModuleType:
    """model.py, which finds its neighbours as it does under Triton."""
    stand_in = ModuleType(STAND_IN)
    vars(stand_in).update(
        Logger=Logger,
        Tensor=Tensor,
        InferenceRequest=Request,
        InferenceResponse=lambda tensors=(), error=None: Response(tuple(tensors), error),
        TritonError=str,
        get_input_tensor_by_name=lambda given, name: given.tensors[name],
        TRITONSERVER_RESPONSE_COMPLETE_FINAL=1,
    )
    sys.modules[STAND_IN] = stand_in
    sys.path.append(str(folder))
    try:
        found = importlib.util.spec_from_file_location("step", folder / "model.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module
