"""Peers by torch, on the same texts: sentence-transformers, and torch's attention of packed texts.

Texts come as ids, but for sentence-transformers' own `encode`, which tokenizes them itself.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from load_tests.gpu.bert import bert
from load_tests.gpu.padding import pad
from load_tests.gpu.run import Run
from load_tests.gpu.shapes import LONGEST, Ids, Shape
from load_tests.gpu.timing import Pass, each

BATCHES = (32, 256)
PADDING, UNKNOWN = "0", "1"
VARLEN_TOKENS = 16_384
VARLEN = "torch eager, varlen, 16k"


def measure(run: Run) -> None:
    device = "cpu" if run.fake else "cuda"
    for shape in run.shapes:
        torch_shape = shape.tiny if run.fake else shape
        each(run, shape, VARLEN, partial(varlen, torch_shape, device))
        for size in BATCHES:
            peer = f"sentence-transformers, sorted, {size}"
            each(run, shape, f"{peer}, ids", partial(forward, torch_shape, device, size))
            each(run, shape, f"{peer}, encode", partial(encode, torch_shape, device, size))


def forward(shape: Shape, device: str, size: int) -> Pass:
    """What `encode` does, its tokenizer left out."""
    model = sentence_transformer(shape, device)

    def run_pass(texts: Sequence[Ids]) -> None:
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        found = []
        for start in range(0, len(order), size):
            input_ids, mask = pad([texts[number] for number in order[start : start + size]])
            features = {"input_ids": input_ids, "attention_mask": mask}
            moved = {name: torch.from_numpy(array).to(device) for name, array in features.items()}
            with torch.inference_mode():
                found.append(model(moved)["sentence_embedding"])
        torch.cat(found).float().cpu()

    return run_pass


def encode(shape: Shape, device: str, size: int) -> Pass:
    """Its own, of texts whose every word is a token."""
    model = sentence_transformer(shape, device)

    def run_pass(texts: Sequence[Ids]) -> None:
        words = [" ".join(map(str, ids)) for ids in texts]
        model.encode(words, batch_size=size, show_progress_bar=False)

    return run_pass


@lru_cache(maxsize=1)
def sentence_transformer(shape: Shape, device: str) -> SentenceTransformer:
    """In fp16 by scaled_dot_product_attention, with mean pooling; read from files as always."""
    with TemporaryDirectory() as folder:
        bert(shape).save_pretrained(folder)
        _tokenizer(shape).save_pretrained(folder)
        arguments: dict[str, Any] = {"dtype": torch.float16, "attn_implementation": "sdpa"}
        return SentenceTransformer(folder, device=device, model_kwargs=arguments)


def _tokenizer(shape: Shape) -> PreTrainedTokenizerFast:
    """A word is the number of a token."""
    vocabulary = {str(number): number for number in range(shape.vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PADDING, unk_token=UNKNOWN, model_max_length=LONGEST
    )


def varlen(shape: Shape, device: str) -> Pass:
    """Packed texts of 16 k tokens, nothing padded: the honest peer."""
    model = Packed(bert(shape)).to(device)

    def run_pass(texts: Sequence[Ids]) -> None:
        lengths = np.array([len(ids) for ids in texts])
        parts = np.cumsum(lengths) // VARLEN_TOKENS
        found = []
        for part in np.unique(parts):
            chosen = np.flatnonzero(parts == part)
            input_ids = torch.from_numpy(np.concatenate([texts[number] for number in chosen]))
            with torch.inference_mode():
                found.append(model(input_ids.to(device), lengths[chosen]))
        torch.cat(found).float().cpu()

    return run_pass


class Packed(nn.Module):
    """BERT over packed texts by torch's own operators; queries, keys and values are one product."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.embeddings = model.embeddings
        self.layers: Any = model.encoder.layer
        self.heads = model.config.num_attention_heads
        inputs = [
            (layer.attention.self.query, layer.attention.self.key, layer.attention.self.value)
            for layer in self.layers
        ]
        self.inputs = nn.ModuleList(map(_joined, inputs))

    def forward(self, input_ids: Tensor, lengths: np.ndarray[Any, Any]) -> Tensor:
        """(T,) int64 and (N,) → (N, H)"""
        device = input_ids.device
        starts = np.concatenate([[0], np.cumsum(lengths)])
        positions = torch.from_numpy(np.arange(starts[-1]) - np.repeat(starts[:-1], lengths))
        cumulative = torch.from_numpy(starts.astype(np.int32)).to(device)
        states = self.embeddings(input_ids[None], position_ids=positions.to(device)[None])[0]
        for layer, inputs in zip(self.layers, self.inputs, strict=True):
            queries, keys, values = inputs(states).unflatten(-1, (3, self.heads, -1)).unbind(1)
            attended = attend(queries, keys, values, cumulative, int(lengths.max()))
            states = layer.attention.output(attended.flatten(1), states)
            states = layer.output(layer.intermediate(states), states)
        counts = torch.from_numpy(lengths).to(device)
        texts = torch.repeat_interleave(torch.arange(len(lengths), device=device), counts)
        sums = states.new_zeros(len(lengths), states.shape[1], dtype=torch.float32)
        return sums.index_add_(0, texts, states.float()) / counts[:, None]


def _joined(linears: Sequence[nn.Linear]) -> nn.Linear:
    first = linears[0]
    joined = nn.Linear(first.in_features, len(linears) * first.out_features, dtype=torch.float16)
    joined.weight = nn.Parameter(torch.cat([x.weight for x in linears]), requires_grad=False)
    joined.bias = nn.Parameter(torch.cat([x.bias for x in linears]), requires_grad=False)
    return joined


def attend(queries: Tensor, keys: Tensor, values: Tensor, starts: Tensor, longest: int) -> Tensor:
    """(T, heads, size) thrice → the same; text by text where there is no GPU."""
    if queries.is_cuda:
        from torch.nn.attention.varlen import varlen_attn

        found: Any = varlen_attn(queries, keys, values, starts, starts, longest, longest)
        attended: Tensor = found
        return attended
    counts = starts.diff().tolist()
    parts = [
        functional.scaled_dot_product_attention(*(x.transpose(0, 1)[None] for x in part))[0]
        for part in zip(*(x.split(counts) for x in (queries, keys, values)), strict=True)
    ]
    return torch.cat([part.transpose(0, 1) for part in parts])
