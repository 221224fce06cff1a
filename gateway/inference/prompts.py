"""What is put before the texts of a call: the caller's prompt, or the checkpoint's own. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import add

import orjson

# Characters of the JSON that holds all prompts of a checkpoint: a hundred of 200 take a third. An
# export refuses more, and a test holds the two together.
MAX_PROMPTS_CHARACTERS = 65_536
# Bytes of UTF-8 that surely hold the first character.
_FIRST_BYTES = 4


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of a checkpoint.

    texts         name → what is put before a text, in the order of the checkpoint
    default_name  of the prompt of calls that give none; None if those have none
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    default_name: str | None = None

    def choose(self, asked: str | None) -> str:
        """The prompt of a call; "" for none.

        asked  as the caller gives it, "" for none; None if he leaves it to the checkpoint
        """
        if asked is not None:
            return asked
        return "" if self.default_name is None else self.texts[self.default_name]


def read_prompts(parameters: Mapping[str, str]) -> Prompts:
    """The prompts in an ensemble's parameters; none in those of an export that knew none.

    Raises: ValueError.
    """
    text = parameters.get("prompts", "{}")
    if len(text) > MAX_PROMPTS_CHARACTERS:
        raise ValueError(f"prompts have more than {MAX_PROMPTS_CHARACTERS} characters")
    texts = orjson.loads(text)
    if not isinstance(texts, dict) or not all(isinstance(prompt, str) for prompt in texts.values()):
        raise ValueError("prompts are no object of texts")
    default_name = parameters.get("default_prompt_name") or None
    if default_name is not None and default_name not in texts:
        raise ValueError("default_prompt_name names no prompt")
    return Prompts(texts, default_name)


def heads(prompt: str, texts: Sequence[bytes], spaced: bool = True) -> list[bytes]:
    """(N,) what goes before each text: the prompt as it is, as sentence-transformers puts it.

    Where the last character of the one and the first of the other are both letters or digits, a
    space follows it: two words do not become one.

    texts   N texts in UTF-8
    spaced  false for a checkpoint's default prompt, which is joined as its author has it
    """
    plain = prompt.encode()
    if not spaced or not prompt[-1:].isalnum():
        return [plain] * len(texts)
    with_space = plain + b" "
    return [with_space if _begins_with_a_word(text) else plain for text in texts]


def _begins_with_a_word(text: bytes) -> bool:
    return text[:_FIRST_BYTES].decode(errors="ignore")[:1].isalnum()


def join(heads: Sequence[bytes], texts: Sequence[bytes]) -> tuple[bytes, ...]:
    """N texts with their heads; the same objects where there is nothing before them."""
    return tuple(map(add, heads, texts))
