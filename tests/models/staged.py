"""An exported model, run as its three steps run it, without Triton."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2

from export.manifest import Manifest
from export.names import folder_of, step_folder
from export.steps.inference import CpuEncoder
from export.steps.tokenization import PackedTokenizer
from gateway.inference.prompts import heads, join, read_prompts

THREADS = 2


class Staged:
    """The files of one model in a repository, with what their configurations say."""

    def __init__(self, repository: Path, manifest: Manifest) -> None:
        name = folder_of(manifest.request["serving"]["served_name"])
        tokenizer, encoder = (
            repository / step_folder(name, manifest.edition, step)
            for step in ("tokenizer", "encoder")
        )
        settings = _parameters(tokenizer)
        self._tokenizer = PackedTokenizer(
            tokenizer / "1" / "tokenizer.json",
            int(settings["max_length"]),
            windows=settings["windows"] == "true",
            segments_mib=int(settings["segments_mib"]),
        )
        precision = _parameters(encoder)["precision"]
        self._encoder = CpuEncoder(encoder / "1" / "model.onnx", THREADS, precision)
        parameters = _parameters(repository / name)
        self.dimensions = int(parameters["dimensions"])
        self.prompts = read_prompts(parameters)

    def embed(self, texts: Sequence[str], asked: str | None) -> NDArray[np.float32]:
        """(N, D) of N texts in one micro-batch, before any normalization.

        asked  the prompt of the call as the caller gives it; None leaves it to the checkpoint
        """
        plain = [text.encode() for text in texts]
        prompt = self.prompts.choose(asked)
        before = heads(prompt, plain, spaced=asked is not None)
        return self._encoder.embed(*self._tokenizer.tokenize(join(before, plain)))


def _parameters(folder: Path) -> dict[str, str]:
    text = (folder / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return {key: value.string_value for key, value in config.parameters.items()}
