"""The shapes that an engine of TensorRT is built for: least, usual and most of every input.

Sizes are symbols, as the graph names them: tokens T, texts N, positions S of the grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .layout import SUM_STEP

# An engine takes memory for the most texts of the most positions at once, whatever it runs.
CELLS = 2**19
USUAL_LENGTH = 128  # tokens of a text that an engine should be fastest at


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one micro-batch."""

    tokens: int
    texts: int
    positions: int

    def shapes(self, inputs: Mapping[str, Sequence[str]]) -> str:
        """As a provider option: INPUT_IDS:16384,TOKEN_OF_CELL:128x128.

        inputs  the sizes of each, by name

        Raises: ValueError for a size that is none of these.
        """
        shapes = ("x".join(map(self._number, sizes)) for sizes in inputs.values())
        return ",".join(f"{name}:{shape}" for name, shape in zip(inputs, shapes, strict=True))

    def _number(self, size: str) -> str:
        known = {"T": self.tokens, "N": self.texts, "N + 1": self.texts + 1, "S": self.positions}
        if size.isdigit():
            return size
        if size not in known:
            raise ValueError(f"a graph with inputs of size {size!r} cannot be built for TensorRT")
        return str(known[size])


@dataclass(frozen=True, slots=True)
class Profile:
    """What an engine is built for; it runs nothing else."""

    least: Sizes
    usual: Sizes
    most: Sizes

    @classmethod
    def of(cls, max_tokens: int, max_length: int) -> "Profile":
        """For micro-batches of so many tokens, and texts of such a length, which travel alone.

        However short its texts, a run has no more of them than fill CELLS when padded to the
        longest length: others are run in the next turn.
        """
        longest = -(-max_length // SUM_STEP) * SUM_STEP
        usual = min(USUAL_LENGTH, longest)
        tokens = max(max_tokens, max_length)
        texts = max(CELLS // longest, max_tokens // usual, 1)
        return cls(
            least=Sizes(1, 1, SUM_STEP),
            usual=Sizes(max_tokens, max(max_tokens // usual, 1), usual),
            most=Sizes(tokens, min(texts, tokens), longest),
        )

    def options(self, inputs: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Of onnxruntime's TensorRT provider."""
        return {
            "trt_profile_min_shapes": self.least.shapes(inputs),
            "trt_profile_opt_shapes": self.usual.shapes(inputs),
            "trt_profile_max_shapes": self.most.shapes(inputs),
        }
