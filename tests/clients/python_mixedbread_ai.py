"""The Fern SDK `mixedbread-ai` against a running service: python python_mixedbread_ai.py PORT."""

import sys
from importlib.metadata import version
from typing import Any

from mixedbread_ai import UnauthorizedError, UnprocessableEntityError
from mixedbread_ai.client import MixedbreadAI

ADDRESS = f"http://127.0.0.1:{sys.argv[1]}"
MODEL = "mixedbread-ai/mxbai-embed-large-v1"
SIZES = {"float": 256, "binary": 32, "ubinary": 32, "int8": 256, "uint8": 256}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": MODEL, "input": []}, "validation_error"),
    ({"model": MODEL, "input": "x", "dimensions": 0}, "invalid_matryoshka_dimensions_error"),
    (
        {"model": MODEL, "input": "word " * 600, "truncation_strategy": "none"},
        "truncation_error",
    ),
    ({"model": "wrong-id", "input": "x"}, "model_not_found_error"),
]

client = MixedbreadAI(api_key="KEY", base_url=ADDRESS)  # sends the key without a scheme

answer: Any = client.embeddings(model=MODEL, input=["hi", "yo"])
assert answer.normalized
assert [1024, 1024] == [len(row.embedding) for row in answer.data]
assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0

several: Any = client.embeddings(
    model=MODEL,
    input="hi",
    prompt="q: ",
    encoding_format=list(SIZES),
    dimensions=256,
    truncation_strategy="start",
)
embedding = several.data[0].embedding.dict(by_alias=True)
assert several.data[0].object == "embedding_dict"
assert {name: len(embedding[name]) for name in SIZES} == SIZES

packed: Any = client.embeddings(model=MODEL, input="hi", encoding_format="base64")
assert isinstance(packed.data[0].embedding, str)

for fields, kind in REFUSED:
    try:
        client.embeddings(**fields)
    except UnprocessableEntityError as error:
        assert error.body.type == kind, error.body
        assert error.body.message, error.body
    else:
        raise SystemExit(f"accepted: {fields}")

try:
    MixedbreadAI(api_key="wrong", base_url=ADDRESS).embeddings(model=MODEL, input="x")
except UnauthorizedError as error:
    assert error.body.type == "unauthorized_error"
else:
    raise SystemExit("accepted: a wrong key")

print("ok mixedbread-ai", version("mixedbread-ai"))
