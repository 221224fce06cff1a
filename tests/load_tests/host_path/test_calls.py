"""What is sent, and what the floor makes of it."""

from pathlib import Path

import numpy as np
import orjson
import pybase64
import pytest
from tokenizers import Tokenizer

from export.steps.tokenization import PackedTokenizer
from load_tests.bench.servers import checkpoint
from load_tests.host_path.__main__ import fresh_calls, with_texts
from load_tests.host_path.bodies import Calls
from load_tests.host_path.floor import DIMENSIONS, Floor
from load_tests.host_path.report import BEGIN, END, replace
from load_tests.host_path.rows import chosen
from load_tests.host_path.sides import CannotMeasure

WORDS = Calls("model", "words", 12, 256, "base64")


def test_texts_of_words_have_the_tokens_that_the_row_says() -> None:
    tokenizer = Tokenizer.from_file(str(checkpoint() / "tokenizer.json"))
    tokenizer.no_padding()
    call = orjson.loads(WORDS.bodies[0])
    assert len(call["input"]) == 256
    assert {len(encoding.ids) for encoding in tokenizer.encode_batch(call["input"])} == {12}


def test_words_come_again_and_again() -> None:
    stream = WORDS.stream()
    first = [next(stream) for _ in WORDS.bodies]
    assert next(stream) == first[0]


def test_no_text_of_a_corpus_comes_in_two_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    # Patched because the real corpus is fetched from Debian.
    texts = [f"text {number}" for number in range(100)]
    monkeypatch.setattr("load_tests.host_path.bodies.texts_of", lambda language: texts)
    rounds = [Calls("model", "english", 65, 2, "float", part, 20) for part in range(3)]
    sent = [orjson.loads(body)["input"] for calls in rounds for body in calls.stream()]
    assert [text for batch in sent for text in batch] == texts


def test_a_row_without_texts_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def texts_of(language: str) -> list[str]:
        if language == "japanese":
            raise CannotMeasure("apt-get is needed")
        return ["text"] * (4 * 256)

    # Patched because the real corpus is fetched from Debian.
    monkeypatch.setattr("load_tests.host_path.__main__.texts_of", texts_of)
    found, notes = with_texts(chosen(["bulk-12", "english", "japanese"]), rounds=2)
    assert [row.key for row in found] == ["bulk-12", "english"]
    assert notes == ["Left out: `japanese`: apt-get is needed."]
    assert fresh_calls(found[1], rounds=2) == 2
    with pytest.raises(CannotMeasure, match="nothing is left"):
        with_texts(chosen(["english"]), rounds=5)


@pytest.mark.parametrize("encoding_format", ["base64", "float", "int8", "ubinary"])
def test_the_floor_does_all_that_a_call_asks_for(encoding_format: str) -> None:
    floor = Floor(PackedTokenizer(checkpoint() / "tokenizer.json", 512))
    call = {"model": "m", "input": ["salt", "bread and salt"], "encoding_format": encoding_format}
    answer = orjson.loads(floor.answer(orjson.dumps(call)))
    assert answer["usage"]["prompt_tokens"] == 3 + 5
    row = answer["data"][1]["embedding"]
    if encoding_format == "base64":
        row = np.frombuffer(pybase64.b64decode(row), dtype=np.float32).tolist()
    assert len(row) == (DIMENSIONS // 8 if encoding_format == "ubinary" else DIMENSIONS)


def test_a_section_takes_the_place_of_the_last_one() -> None:
    document = f"# Figures\n\n{BEGIN}\n\nold\n\n{END}\n\nmore\n"
    assert replace(document, "new\n") == f"# Figures\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"
    with pytest.raises(ValueError, match="no lines"):
        replace("# Figures\n", "new")


def test_the_document_has_a_place_for_it() -> None:
    assert "new" in replace(Path("docs/benchmarks.md").read_text(), "new")
