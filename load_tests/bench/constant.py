"""What `load_tests.bench.gateway` measures: the gateway on a Triton of constants, and a bare route.

The gateway is the real one, as `python -m gateway` runs it; only tritonclient's stub is another.
What gRPC would do in this process besides the network is done: requests are serialized, answers
parsed, and no answer comes before the event loop has turned once.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from gateway import __main__ as gateway
from gateway.inference import tensors

# Served names: the number is the native size.
MODELS = {"constant-384": 384, "constant-1024": 1024}
TOKENS = 64  # of every text, as if


class ConstantStub:
    """In place of tritonclient's GRPCInferenceServiceStub."""

    def __init__(self, channel: Any) -> None:
        pass

    async def RepositoryIndex(self, request: Any, timeout: float) -> Any:
        entry = service_pb2.RepositoryIndexResponse.ModelIndex
        return service_pb2.RepositoryIndexResponse(
            models=[entry(name=name, state="READY") for name in MODELS]
        )

    async def ModelConfig(self, request: Any, timeout: float) -> Any:
        parameters = {
            "served_name": request.name,
            "dimensions": str(MODELS[request.name]),
            "max_length": "512",
            "matryoshka": "false",
        }
        return service_pb2.ModelConfigResponse(config=declare(request.name, parameters))

    async def ModelInfer(self, request: Any, timeout: float, metadata: Any = None) -> Any:
        request.SerializeToString()
        raw = _answer(request.model_name, request.inputs[0].shape[0])
        await asyncio.sleep(0)
        return service_pb2.ModelInferResponse.FromString(raw)


def declare(name: str, parameters: Mapping[str, str]) -> model_config_pb2.ModelConfig:
    """The ModelConfig of an ensemble with the tensors that the gateway expects."""
    config = model_config_pb2.ModelConfig(name=name, platform="ensemble")
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    for declared, declarations in (
        (tensors.INPUTS, config.input),
        (tensors.OUTPUTS, config.output),
    ):
        for tensor in declared:
            datatype = tensor.datatype.replace("BYTES", "STRING")
            kind = model_config_pb2.DataType.Value(f"TYPE_{datatype}")
            declarations.add(name=tensor.name, data_type=kind, dims=tensor.dims)
    return config


@cache
def _answer(model: str, texts: int) -> bytes:
    """A ModelInferResponse with unit vectors of float32, serialized."""
    rows = np.random.default_rng(0).standard_normal((texts, MODELS[model]), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    arrays = {
        "FLOAT": rows,
        "TOKEN_COUNT": np.full(texts, TOKENS, dtype=np.int32),
        "WIDTH": np.array([MODELS[model]], dtype=np.int32),
    }
    output = service_pb2.ModelInferResponse.InferOutputTensor
    answer = service_pb2.ModelInferResponse(
        model_name=model,
        model_version="1",
        outputs=[output(name=name, shape=array.shape) for name, array in arrays.items()],
        raw_output_contents=[array.tobytes() for array in arrays.values()],
    )
    return answer.SerializeToString()


def serve_gateway(port: int) -> None:
    service_pb2_grpc.GRPCInferenceServiceStub = ConstantStub
    gateway.main(["--port", str(port)])


def serve_bare(port: int) -> None:
    """One Starlette route that reads its body and answers as many bytes as its path says."""

    @cache
    def constant(size: int) -> bytes:
        return b"0" * size

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(constant(request.path_params["size"]), media_type="application/json")

    app = Starlette(routes=[Route("/{size:int}", answer, methods=["POST"])])
    uvicorn.run(app, port=port, log_config=None, access_log=False, ws="none")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.bench.constant", description=__doc__
    )
    parser.add_argument("what", choices=["gateway", "bare"])
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    (serve_gateway if options.what == "gateway" else serve_bare)(options.port)


if __name__ == "__main__":
    main()
