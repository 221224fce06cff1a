"""Transformer and pooling → one ONNX graph over packed texts.

Inputs INPUT_IDS (T,) int64 and SEQ_LENS (N,) int32, output EMBEDDING (N, D) float32.
"""

import inspect
import logging
import warnings
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModel, PreTrainedModel

from export.checkpoint import Pooling
from export.errors import ConversionFailed, UnsupportedModel
from export.graph import flattening, footprint, fusion, packed, rendering
from export.writing import writing

OPSET = 20
UNUSED_WEIGHTS = "pooler."  # BERT's dense + tanh, which no embedding model here goes through


class PackedEncoder(nn.Module):
    """The checkpoint's transformer, fed with one flat sequence, and its pooling."""

    def __init__(self, transformer: PreTrainedModel, pooling: Pooling) -> None:
        super().__init__()
        self.transformer = transformer
        self.pooling = pooling
        self.first_position = first_position(transformer)
        self.accepted = inspect.signature(transformer.forward).parameters

    def forward(self, input_ids: Tensor, seq_lens: Tensor) -> Tensor:
        """input_ids (T,) int64, seq_lens (N,) int32 → (N, D) float32."""
        positions = torch.ops.packed.positions(input_ids, seq_lens) + self.first_position
        inputs = {
            "input_ids": input_ids[None],
            "position_ids": positions[None],
            "token_type_ids": torch.zeros_like(input_ids)[None],
            "use_cache": False,
        }
        known = {name: value for name, value in inputs.items() if name in self.accepted}
        token_embeddings = self.transformer(**known, seq_lens=seq_lens).last_hidden_state[0]
        embeddings: Tensor = torch.ops.packed.pool(token_embeddings, seq_lens, self.pooling)
        return embeddings


def first_position(transformer: PreTrainedModel) -> int:
    """Position of a text's first token: the RoBERTa family keeps those up to padding_idx free."""
    for name, module in transformer.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return 0


def load_transformer(folder: Path) -> PreTrainedModel:
    """The checkpoint's transformer in float32, from safetensors alone, with packed attention.

    Raises: UnsupportedModel if weights are missing, or the architecture lacks the seam.
    """
    packed.register()
    try:
        transformer, loading = AutoModel.from_pretrained(
            folder,
            attn_implementation=packed.NAME,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, TypeError) as error:
        raise UnsupportedModel(f"{folder}: its weights cannot be read ({error})") from error
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith(UNUSED_WEIGHTS))
    if missing:
        raise UnsupportedModel(f"{folder}: no weights for {', '.join(missing[:3])}")
    if "position_ids" not in inspect.signature(transformer.forward).parameters:
        raise UnsupportedModel(
            f"config.json: {transformer.config.model_type} takes no position_ids"
        )
    return transformer.eval()


def convert(transformer: PreTrainedModel, pooling: Pooling) -> onnx_ir.Model:
    """The encoder as an ONNX graph in float32.

    Raises: ConversionFailed; UnsupportedModel if the architecture goes past the attention seam.
    """
    model = _trace(PackedEncoder(transformer, pooling))
    fusion.fuse(model)
    flattening.flatten(model)
    footprint.note(model, transformer.config.num_attention_heads)
    for node in model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces with paths of this machine
    return model


def write_model(model: onnx_ir.Model, path: Path) -> None:
    """The graph into path, its weights into `<path>.data` beside it.

    Apart, because weights inside of a protobuf message end at 2 GiB and are held in memory
    six times over on their way: 8.9 GB at the peak for 1.3 GB of BERT-large, against 2.1 GB.

    Raises: OSError.
    """
    weights = [value.const_value for value in model.graph.initializers.values()]
    with writing(path, sum(weight.nbytes for weight in weights if weight is not None)):
        onnx_ir.save(model, path, external_data=f"{path.name}.data")


def _trace(encoder: PackedEncoder) -> onnx_ir.Model:
    seq_lens = torch.tensor([5, 9, 2], dtype=torch.int32)
    input_ids = torch.arange(int(seq_lens.sum()))
    dynamic = {"input_ids": {0: torch.export.Dim("T")}, "seq_lens": {0: torch.export.Dim("N")}}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's notes to its own developers
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            _check_seam(encoder, input_ids, seq_lens)
            program = torch.onnx.export(
                encoder,
                (input_ids, seq_lens),
                custom_translation_table=rendering.TRANSLATIONS,
                dynamic_shapes=dynamic,
                dynamo=True,
                input_names=["INPUT_IDS", "SEQ_LENS"],
                opset_version=OPSET,
                output_names=["EMBEDDING"],
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ConversionFailed(f"torch.onnx.export: {error}") from error
    assert program is not None
    model: onnx_ir.Model = program.model
    return model


def _check_seam(encoder: PackedEncoder, input_ids: Tensor, seq_lens: Tensor) -> None:
    """Run once and see that every layer's attention came through the seam."""
    layers = encoder.transformer.config.num_hidden_layers
    with _AttentionCounter() as counter:
        encoder(input_ids, seq_lens)
    if counter.calls != layers:
        raise UnsupportedModel(
            f"config.json: {encoder.transformer.config.model_type} calls transformers' attention "
            f"interface {counter.calls} times in {layers} layers, so its texts cannot be kept apart"
        )


class _AttentionCounter(TorchDispatchMode):
    """Counts `packed::attention` while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's is not annotated
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += func is torch.ops.packed.attention.default
        return func(*args, **(kwargs or {}))
