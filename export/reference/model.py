"""One checkpoint in memory: what is exported of it, and what that is compared with."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, normalizers, processors
from torch import Tensor

from export.checkpoint import ModelSpec
from export.errors import UnsupportedModel
from export.graph.encoder import CPU, Form, convert, convert_table
from export.reference.quiet import quiet
from export.reference.rounding import rounded

# All that have a case lie in these planes; those between are halves of a pair.
CHARACTERS = [chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000]


class Reference(ABC):
    """One checkpoint in memory.

    model  sentence-transformers' in float32, without the Normalize at its end: whether a vector
           has length 1 is for a call to say
    spec   what is served
    """

    def __init__(self, model: SentenceTransformer, spec: ModelSpec) -> None:
        self.model = model
        self.spec = spec

    @property
    def size(self) -> int:
        """Weights of the model."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @abstractmethod
    def tokenizer(self) -> Tokenizer:
        """A copy of the tokenizer as it is served, without padding and truncation."""

    @abstractmethod
    def ids(self, text: str, side: str = "right") -> list[int]:
        """The tokens that are read of a text, cut at a side if it is longer than the limit.

        Raises: UnsupportedModel if the tokenizer gives token types, which are not served.
        """

    @abstractmethod
    def embed(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vector of a text's tokens: (S,) → (D,)."""

    def rounded(self, dtype: torch.dtype) -> Self:
        """The same with weights of fewer bits, as torch runs it."""
        return type(self)(rounded(self.model, dtype), self.spec)

    @abstractmethod
    def convert(self, form: Form = CPU) -> onnx_ir.Model:
        """The encoder as an ONNX graph, in the precision of its weights.

        Raises: ConversionFailed; UnsupportedModel.
        """

    def _run(self, features: dict[str, Tensor]) -> NDArray[np.float32]:
        with torch.no_grad():
            vector: NDArray[np.float32] = self.model(features)["sentence_embedding"][0].numpy()
        return vector


class TransformerReference(Reference):
    """A transformer, its pooling, and modules after it."""

    def tokenizer(self) -> Tokenizer:
        """See Reference."""
        served = _unlimited(self.model.tokenizer.backend_tokenizer)
        _drop_needless_lowercase(served)
        return served

    def ids(self, text: str, side: str = "right") -> list[int]:
        """See Reference."""
        self.model.tokenizer.truncation_side = side
        features = self.model.preprocess([text], prompt="")
        if features.get("token_type_ids", torch.zeros(1)).any():
            raise UnsupportedModel("tokenizer.json: texts have token types other than 0")
        ids: list[int] = features["input_ids"][0].tolist()
        return ids

    def embed(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See Reference."""
        row = torch.from_numpy(ids)[None]
        return self._run({"input_ids": row, "attention_mask": torch.ones_like(row)})

    def convert(self, form: Form = CPU) -> onnx_ir.Model:
        """See Reference."""
        transformer, pooling, *tail = modules(self.model)
        with quiet():
            return convert(transformer.model, modes(pooling), tail, form)


class StaticReference(Reference):
    """A table with a row a token, and modules after it.

    In what is served one more token stands before each text, which does not count.
    """

    def tokenizer(self) -> Tokenizer:
        """See Reference."""
        served = _unlimited(self.model.tokenizer)
        # It is in the template alone: no text can hold it.
        served.post_processor = processors.TemplateProcessing(
            single="[NOTHING] $A", special_tokens=[("[NOTHING]", self._nothing)]
        )
        return served

    def ids(self, text: str, side: str = "right") -> list[int]:
        """See Reference."""
        ids = self.model.tokenizer.encode(text, add_special_tokens=False).ids
        most = self.spec.max_length - 1
        return [self._nothing, *(ids[:most] if side == "right" else ids[max(len(ids) - most, 0) :])]

    def embed(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See Reference."""
        return self._run({"input_ids": torch.from_numpy(ids[1:]), "offsets": torch.tensor([0])})

    def convert(self, form: Form = CPU) -> onnx_ir.Model:
        """See Reference."""
        static, *tail = modules(self.model)
        weights = static.embedding.weight.detach()
        table = weights.new_zeros(max(self._nothing + 1, len(weights)), weights.shape[1])
        table[: len(weights)] = weights
        table[self._nothing] = 0
        return convert_table(table, tail, form)

    @property
    def _nothing(self) -> int:
        """The number of the token in front, above all others."""
        return 1 + max(self.model.tokenizer.get_vocab(with_added_tokens=True).values())


def modes(pooling: Any) -> tuple[str, ...]:
    """sentence-transformers' names of the vectors that a pooling puts side by side."""
    found = pooling.pooling_mode
    return (found,) if isinstance(found, str) else tuple(found)


def modules(model: SentenceTransformer) -> list[Any]:
    """In their order; what they hold depends on their kinds."""
    return list(model)


def _unlimited(tokenizer: Tokenizer) -> Tokenizer:
    """A copy without padding and truncation, which are the step's business."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    return copy


def _drop_needless_lowercase(tokenizer: Tokenizer) -> None:
    """Take off the Lowercase that `do_lower_case` puts first, where what follows lowers as well.

    sentence-transformers puts it before BERT's normalizer too; the windows of long texts are made
    for BERT's alone.
    """
    parts = tokenizer.normalizer
    if not isinstance(parts, normalizers.Sequence) or len(parts) != 2:
        return
    first, rest = parts[0], parts[1]
    if isinstance(first, normalizers.Lowercase) and all(
        rest.normalize_str(lowered) == rest.normalize_str(character)
        for character in CHARACTERS
        if (lowered := first.normalize_str(character)) != character
    ):
        tokenizer.normalizer = rest
