"""Triton's messages: a chunk as a request, an answer as embeddings, what a Triton says it has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2

from gateway.access.keys import ANYBODY
from gateway.access.ledger import Ledger
from gateway.errors import ContractMismatch, NotFinite
from gateway.inference import tensors
from gateway.inference.embedder import (
    EmbeddingCall,
    Embeddings,
    Ensemble,
    NumberFormat,
    State,
    Truncation,
)
from gateway.inference.rpc_errors import MESSAGES
from gateway.telemetry.timeline import Timeline

Message: TypeAlias = Any  # tritonclient's generated code carries no types

REMEMBERED_REQUESTS = 256  # of as many options; callers choose among them


def probing(ensemble: str) -> EmbeddingCall:
    """A call that owes nothing to anybody: of a text that every tokenizer knows."""
    return EmbeddingCall(
        model="",
        ensemble=ensemble,
        texts=[b"ready?"],
        token_estimates=[4],
        number_formats=("float",),
        dimensions=None,
        normalized=True,
        truncation="end",
        entry=Ledger(max_bytes=0, max_tokens=0, small_tokens=0).open(ANYBODY),
        timeline=Timeline("probe"),
    )


def read_states(index: service_pb2.RepositoryIndexResponse) -> dict[str, State]:
    """Model → state, by the most hopeful of its versions."""
    hope: tuple[State, ...] = ("idle", "unloaded", "loading", "ready")
    states: dict[str, State] = {}
    for entry in index.models:  # one for each version
        state: State = "loading"
        if entry.state in ("", "READY"):
            state = "ready" if entry.state else "idle"
        elif entry.reason == "unloaded":
            state = "unloaded"
        states[entry.name] = max(states.get(entry.name, "idle"), state, key=hope.index)
    return states


def read_editions(index: service_pb2.RepositoryIndexResponse) -> dict[str, str]:
    """Model → the version that answers, of those that are ready: the highest."""
    editions: dict[str, str] = {}
    for entry in index.models:
        if entry.state == "READY":
            found = editions.get(entry.name, "")
            editions[entry.name] = max(found, entry.version, key=_number)
    return editions


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else -1


def read_config(config: model_config_pb2.ModelConfig) -> Ensemble:
    """An ensemble as its ModelConfig message describes it."""
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    inputs = _declared(config.input)
    return Ensemble(
        config.name,
        parameters=parameters,
        mismatch=tensors.find_mismatch(inputs, _declared(config.output)),
        takes_formats=tensors.FORMATS.name in inputs,
    )


def _declared(
    declarations: Sequence[model_config_pb2.ModelInput],
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name → (datatype, dims); TYPE_STRING is called BYTES everywhere else."""
    return {
        tensor.name: (
            model_config_pb2.DataType.Name(tensor.data_type)
            .removeprefix("TYPE_")
            .replace("STRING", "BYTES"),
            tuple(tensor.dims),
        )
        for tensor in declarations
    }


def build_request(call: EmbeddingCall, chunk: Sequence[int]) -> service_pb2.ModelInferRequest:
    """The ModelInferRequest for the texts of `chunk`; names only the outputs wanted."""
    texts = [call.texts[index] for index in chunk]
    request = service_pb2.ModelInferRequest()
    request.CopyFrom(
        _without_texts(
            call.ensemble, call.number_formats, call.truncation, call.dimensions, call.normalized
        )
    )
    request.id = call.timeline.request_id
    request.inputs[0].shape[0] = len(texts)
    request.raw_input_contents[0] = tensors.pack_bytes(texts)
    return request


@lru_cache(REMEMBERED_REQUESTS)
def _without_texts(
    ensemble: str,
    number_formats: tuple[NumberFormat, ...],
    truncation: Truncation,
    dimensions: int | None,
    normalized: bool,
) -> service_pb2.ModelInferRequest:
    """What all requests with the same options have in common; TEXT comes first and is empty."""
    return service_pb2.ModelInferRequest(
        model_name=ensemble,
        inputs=[_input(tensors.TEXT, 0), *_OPTIONS],
        outputs=_outputs(number_formats),
        raw_input_contents=[
            b"",
            tensors.pack_int32(tensors.TRUNCATION_CODES[truncation]),
            tensors.pack_dimensions(dimensions),
            tensors.pack_bool(normalized),
            tensors.pack_formats(number_formats),
        ],
    )


def _input(tensor: tensors.Tensor, size: int) -> Message:
    return service_pb2.ModelInferRequest.InferInputTensor(
        name=tensor.name, datatype=tensor.datatype, shape=[size]
    )


def _outputs(number_formats: tuple[NumberFormat, ...]) -> list[Message]:
    wanted = [
        *(tensors.EMBEDDINGS[number_format] for number_format in number_formats),
        tensors.TOKEN_COUNT,
        tensors.WIDTH,
    ]
    output = service_pb2.ModelInferRequest.InferRequestedOutputTensor
    return [output(name=tensor.name) for tensor in wanted]


_OPTIONS = [
    _input(tensor, 1)
    for tensor in (tensors.TRUNCATION, tensors.DIMENSIONS, tensors.NORMALIZED, tensors.FORMATS)
]


def drop_formats(request: service_pb2.ModelInferRequest) -> bool:
    """Makes of a request one for a repository of an older export; whether it was none before."""
    if request.inputs[-1].name != tensors.FORMATS.name:
        return False
    del request.inputs[-1], request.raw_input_contents[-1]
    return True


@dataclass(slots=True)
class Answer:
    """What Triton answered to one chunk: its rows of what its request brought.

    Not frozen, since every call makes one.

    raws     tensor → bytes, those of all texts of the request
    edition  of the model that gave them
    rows     of the chunk
    total    texts of the request
    """

    raws: Mapping[str, bytes]
    edition: str
    rows: slice
    total: int

    @property
    def token_counts(self) -> NDArray[np.int32]:
        """(N,) as the tokenizer found them.

        Raises: ContractMismatch.
        """
        return self.read(tensors.TOKEN_COUNT, (self.total,))[self.rows]

    def read(self, tensor: tensors.Tensor, shape: tuple[int, ...]) -> NDArray[Any]:
        """A tensor of the whole request; a view on its bytes.

        Raises: ContractMismatch if it is missing or has another size.
        """
        try:
            return tensors.unpack(tensor, self.raws.get(tensor.name, b""), shape)
        except ValueError as error:
            message = f"the inference server's {tensor.name} has an unexpected size"
            raise ContractMismatch(message) from error


def split_answer(
    message: service_pb2.ModelInferResponse, counts: Sequence[int]
) -> Iterator[Answer]:
    """The answers to the chunks of one request, which have so many texts."""
    names = [output.name for output in message.outputs]
    raws = dict(zip(names, message.raw_output_contents, strict=False))
    edition, total, start = message.model_version, sum(counts), 0
    for count in counts:
        yield Answer(raws, edition, slice(start, start + count), total)
        start += count


def read_answer(answer: Answer, call: EmbeddingCall) -> Embeddings:
    """The tensors of one chunk; the arrays are views on the bytes of the answer.

    Raises: ContractMismatch if a tensor is missing or has another size, NotFinite.
    """
    width = int(answer.read(tensors.WIDTH, (1,))[0])
    if width < 1 or call.dimensions not in (None, width):
        raise ContractMismatch(f"the inference server gave {width} dimensions")
    arrays = {
        number_format: _finite(
            answer.read(
                tensors.EMBEDDINGS[number_format],
                tensors.shape(number_format, answer.total, width),
            )[answer.rows]
        )
        for number_format in call.number_formats
    }
    return Embeddings(arrays, answer.token_counts, width, answer.edition)


def _finite(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NotFinite(MESSAGES[NotFinite])
    return array
