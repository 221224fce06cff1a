"""How one model is served: what the operator chose, beside what the checkpoint says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from export.errors import WrongOption
from export.names import check_name, folder_of

Target = Literal["cpu", "cuda", "tensorrt"]  # what runs the encoder
Precision = Literal["fp32", "int8", "fp16", "bf16"]  # of the encoder's weights

PRECISIONS: dict[Target, tuple[Precision, ...]] = {
    "cpu": ("fp32", "int8"),
    "cuda": ("fp16", "bf16", "fp32"),
    "tensorrt": ("fp16", "bf16", "fp32"),
}
# Least and most that can be asked for; beyond lie mistakes, and machines that nobody has.
LIMITS = {
    "micro_batch_tokens": (1, 65_536),
    "memory_mib": (0, 2**24),
    "threads": (0, 1024),
    "instances": (1, 64),
    "tokenizers": (1, 64),
    "quantizers": (1, 64),
    "segments_mib": (0, 2**16),
}
MOST_GPUS = 64

CPU_TOKENS = 128  # of a micro-batch; docs/decisions/0013
# Of a micro-batch on a GPU, least and most. Below, products have too few rows for the processors
# of a large GPU; above, a query waits for long.
GPU_TOKENS = (4096, 16_384)
TOKEN_STEP = 64
MICRO_BATCH_FLOP = 2e12  # 5 ms at 400 TFLOP/s, half of what an H100 has in fp16

# Tokenizers and quantizers beside a GPU, each a process with one thread: together they keep up
# with the bulk of a small model, on the eight and more cores that such a machine has.
BESIDE_A_GPU = {"tokenizers": 4, "quantizers": 2}


@dataclass(frozen=True, slots=True)
class Serving:
    """How one model is served. What is None depends on the target, at last on the model itself.

    On a CPU nothing stays None. On a GPU the precision and the tokens of a micro-batch do unless
    they are given, until `settled`.

    Raises: WrongOption if a name, a number or what is asked together cannot be served.
    """

    served_name: str
    aliases: tuple[str, ...] = ()
    matryoshka: bool = False
    target: Target = "cpu"
    precision: Precision | None = None  # None: fp32 on a CPU, on a GPU what the model bears
    micro_batch_tokens: int | None = None  # None: CPU_TOKENS, on a GPU by the size of the model
    memory_mib: int = 0  # working memory of micro-batches; 0: as much as the target's encoder says
    threads: int = 0  # of a CPU; 0: every core the encoder's process may use
    instances: int = 1  # of the encoder, on each GPU, each with sessions and threads of its own
    spinning: bool = True  # of a CPU's threads while they wait in a run; docs/decisions/0013
    gpus: tuple[int, ...] = ()  # as Triton counts them; none: every one that it sees
    tokenizers: int | None = None  # instances; None: one, or as many as keep up with a GPU
    quantizers: int | None = None
    segments_mib: int = 32  # of each tokenizer, for the ids of segments; 0: texts are not cut

    def __post_init__(self) -> None:
        check_name(self.served_name, "--served-name")
        for alias in self.aliases:
            check_name(alias, "--alias")
        self._fill()
        self._check_target()
        for option, (least, most) in LIMITS.items():
            number = getattr(self, option)
            if number is not None and not least <= number <= most:
                raise WrongOption(f"{_flag(option)} {number}: it must be {least} to {most}")

    def _fill(self) -> None:
        """What the target alone decides."""
        decided: dict[str, int | str] = {"tokenizers": 1, "quantizers": 1}
        if self.is_on_gpu:
            decided |= BESIDE_A_GPU
        else:
            decided |= {"precision": "fp32", "micro_batch_tokens": CPU_TOKENS}
        for field, value in decided.items():
            if getattr(self, field) is None:
                object.__setattr__(self, field, value)  # as the constructor of a frozen one does

    def _check_target(self) -> None:
        """Raises: WrongOption."""
        if self.precision not in (None, *PRECISIONS[self.target]):
            targets = [target for target in PRECISIONS if self.precision in PRECISIONS[target]]
            raise WrongOption(
                f"--precision {self.precision} does not exist for --target {self.target}: it has "
                f"{_either(PRECISIONS[self.target])}, and {self.precision} is for "
                f"{_either(targets)}"
            )
        if self.is_on_gpu and (self.threads or not self.spinning):
            option = "--threads" if self.threads else "--no-spinning"
            raise WrongOption(f"{option} is for --target cpu: a GPU has no threads to choose")
        if self.gpus and not self.is_on_gpu:
            raise WrongOption("--gpus is for --target cuda or tensorrt")
        if len(set(self.gpus)) < len(self.gpus) or not all(0 <= x < MOST_GPUS for x in self.gpus):
            raise WrongOption(
                f"--gpus {','.join(map(str, self.gpus))}: it must be different numbers from 0 to "
                f"{MOST_GPUS - 1}"
            )

    @property
    def name(self) -> str:
        """Triton's name of the ensemble, which is its folder's."""
        return folder_of(self.served_name)

    @property
    def is_on_gpu(self) -> bool:
        return self.target != "cpu"

    @property
    def settled_precision(self) -> Precision:
        """What nobody has to choose any more."""
        assert self.precision is not None
        return self.precision

    @property
    def settled_tokens(self) -> int:
        """Of a micro-batch, likewise."""
        assert self.micro_batch_tokens is not None
        return self.micro_batch_tokens

    def settled(self, precision: Precision, product_weights: int) -> "Serving":
        """The same with nothing left to choose.

        precision        where none was asked for
        product_weights  that multiply every token
        """
        return replace(
            self,
            precision=self.precision or precision,
            micro_batch_tokens=self.micro_batch_tokens or micro_batch_tokens(product_weights),
        )


def micro_batch_tokens(product_weights: int) -> int:
    """Tokens that a large GPU embeds in about 5 ms, a multiple of TOKEN_STEP within GPU_TOKENS.

    A query waits for two micro-batches at most, one of each worker.

    product_weights  that multiply every token; each costs two operations
    """
    least, most = GPU_TOKENS
    tokens = MICRO_BATCH_FLOP / (2 * max(product_weights, 1))
    return round(min(max(tokens, least), most) / TOKEN_STEP) * TOKEN_STEP


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
