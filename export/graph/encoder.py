"""Transformer and pooling → one ONNX graph over packed texts.

Inputs INPUT_IDS (T,) int64 and what it asks for of the layout (`inputs`), output EMBEDDING (N, D)
float32.
"""

import inspect
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from optimum.utils import NormalizedConfig, NormalizedConfigManager, NormalizedTextConfig
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from export.errors import ConversionFailed, UnsupportedModel, one_line
from export.graph import (
    biases,
    flattening,
    footprint,
    fusion,
    inputs,
    norms,
    rendering,
    rotary,
    seams,
    standard,
)
from export.graph.blocks import BLOCK
from export.writing import writing

OPSET = 20
POSITION_TABLES = ("position_embeddings", "wpe", "embed_positions")


class PackedEncoder(nn.Module):
    """The checkpoint's transformer, fed with one flat sequence, its pooling and what follows it."""

    def __init__(
        self, transformer: PreTrainedModel, poolings: Sequence[str], tail: Sequence[nn.Module] = ()
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.poolings = tuple(poolings)
        self.tail = nn.ModuleList(tail)
        table = position_table(transformer)
        counted_from = None if table is None else table.padding_idx
        self.padding = -1 if counted_from is None else counted_from
        self.accepted = set(inspect.signature(transformer.forward).parameters)
        if not any("token_type" in name for name, _ in transformer.named_modules()):
            self.accepted.discard("token_type_ids")  # GPT-2 takes them for words

    def forward(self, input_ids: Tensor, seq_lens: Tensor) -> Tensor:
        """input_ids (T,) int64, seq_lens (N,) int32 → (N, D) float32."""
        positions = torch.ops.packed.positions(input_ids, seq_lens, self.padding)
        inputs = {
            "input_ids": input_ids[None],
            "position_ids": positions[None],
            "token_type_ids": torch.zeros_like(input_ids)[None],
            "use_cache": False,
        }
        known = {name: value for name, value in inputs.items() if name in self.accepted}
        states = self.transformer(**known, seq_lens=seq_lens).last_hidden_state[0]
        pooled = [torch.ops.packed.pool(states, seq_lens, mode) for mode in self.poolings]
        return _apply(self.tail, torch.cat(pooled, dim=1) if len(pooled) > 1 else pooled[0])


class PackedTable(nn.Module):
    """A static embedding: the mean over a row a token.

    Before each text stands a token of its own, whose row is zero and which does not count, so that
    no text is without tokens; a text that has no other gives zeros, as sentence-transformers does.
    """

    def __init__(self, weights: Tensor, tail: Sequence[nn.Module] = ()) -> None:
        """weights (V, D), the last row zero."""
        super().__init__()
        self.weights = nn.Parameter(weights, requires_grad=False)
        self.tail = nn.ModuleList(tail)

    def forward(self, input_ids: Tensor, seq_lens: Tensor) -> Tensor:
        """input_ids (T,) int64, seq_lens (N,) int32 → (N, D) float32."""
        means = torch.ops.packed.pool(self.weights[input_ids], seq_lens, "mean")
        counts = seq_lens[:, None].to(means.dtype)
        return _apply(self.tail, means * (counts / (counts - 1).clamp(min=1)))


def _apply(tail: nn.ModuleList, embeddings: Tensor) -> Tensor:
    """What sentence-transformers' modules after the pooling make of (N, H): (N, D)."""
    features = {"sentence_embedding": embeddings}
    for module in tail:
        features = module(features)
    return features["sentence_embedding"]


def most_positions(transformer: nn.Module) -> int | None:
    """Tokens that the learned position embeddings reach; None without such."""
    table = position_table(transformer)
    if table is None:
        return None
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def position_table(transformer: nn.Module) -> nn.Embedding | None:
    """The learned position embeddings."""
    for name, module in transformer.named_modules():
        if name.endswith(POSITION_TABLES) and isinstance(module, nn.Embedding):
            return module
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """How a graph says what is computed.

    translations  of the packed operators
    opset         that they are of
    block         most tokens of a text that attends as a whole; 0 where all do
    """

    translations: Mapping[Callable[..., Any], Callable[..., Any]]
    opset: int
    block: int


CPU = Form(rendering.TRANSLATIONS, OPSET, BLOCK)
GPU = Form(standard.TRANSLATIONS, standard.OPSET, 0)


def convert(
    transformer: PreTrainedModel,
    poolings: Sequence[str],
    tail: Sequence[nn.Module] = (),
    form: Form = CPU,
) -> onnx_ir.Model:
    """The encoder as an ONNX graph in the precision of its parameters.

    poolings  sentence-transformers' names; several are put side by side
    tail      its modules after the pooling, in float32

    Raises: ConversionFailed; UnsupportedModel if the architecture goes past the attention seam.
    """
    kind = transformer.config.model_type
    accepted = inspect.signature(transformer.forward).parameters
    if "position_ids" not in accepted and kind not in seams.RELATIVE:
        raise UnsupportedModel(f"config.json: {kind} takes no position_ids")
    with seams.packed_attention(transformer):
        encoder = PackedEncoder(transformer, poolings, tail).eval()
        config = _normalize(transformer.config)
        with torch.no_grad(), seams.every_layer(kind, config.num_layers):
            encoder(*_example())
        return _convert(encoder, form, config.num_attention_heads, encoder.padding)


def convert_table(
    weights: Tensor, tail: Sequence[nn.Module] = (), form: Form = CPU
) -> onnx_ir.Model:
    """A static embedding (V, D), its last row zero, as an ONNX graph.

    Raises: ConversionFailed.
    """
    return _convert(PackedTable(weights, tail).eval(), form, heads=1, padding=-1)


def _convert(encoder: nn.Module, form: Form, heads: int, padding: int) -> onnx_ir.Model:
    model = _trace(encoder, form)
    inputs.feed(model)
    fusion.fuse(model)
    if form is CPU:
        flattening.flatten(model)
    else:
        norms.use_norms(model)
        rotary.use_rotary(model)
        biases.fold(model)
    footprint.note(model, heads, form.block, padding)
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


def _example() -> tuple[Tensor, Tensor]:
    """Three texts of a few tokens: (T,) int64 and (N,) int32."""
    seq_lens = torch.tensor([5, 9, 2], dtype=torch.int32)
    return torch.arange(int(seq_lens.sum())), seq_lens


def _trace(encoder: nn.Module, form: Form) -> onnx_ir.Model:
    dynamic = {"input_ids": {0: torch.export.Dim("T")}, "seq_lens": {0: torch.export.Dim("N")}}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's notes to its own developers
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                encoder,
                _example(),
                custom_translation_table=dict(form.translations),
                dynamic_shapes=dynamic,
                dynamo=True,
                input_names=["INPUT_IDS", "SEQ_LENS"],
                opset_version=form.opset,
                output_names=["EMBEDDING"],
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ConversionFailed(f"torch.onnx.export: {_cause(error)}") from error
    assert program is not None
    model: onnx_ir.Model = program.model
    return model


def _cause(error: BaseException) -> str:
    """What went wrong at the bottom, in one line: torch's own words are pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)


def _normalize(config: PretrainedConfig) -> NormalizedConfig:
    """The configuration under one set of names; optimum knows which architectures differ."""
    try:
        kind = NormalizedConfigManager.get_normalized_config_class(config.model_type)
    except KeyError:
        kind = NormalizedTextConfig
    return kind(config)
