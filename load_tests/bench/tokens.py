"""How many tokens texts have, by the tokenizer of the checkpoint and not by a server's word."""

import functools
from collections.abc import Sequence

from tokenizers import Tokenizer

from load_tests.bench.servers import checkpoint


class TokenCounter:
    """Counts with special tokens; no text of ours is longer than the model's limit."""

    def __init__(self) -> None:
        self.tokenizer = Tokenizer.from_file(str(checkpoint() / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    @classmethod
    @functools.cache
    def shared(cls) -> "TokenCounter":
        return cls()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]

    def count(self, texts: Sequence[str]) -> int:
        return sum(len(ids) for ids in self.ids(texts))
