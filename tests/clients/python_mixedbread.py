"""The Stainless SDK `mixedbread` against a running service: python python_mixedbread.py PORT."""

import base64
import math
import struct
import sys
from typing import Any

import mixedbread
from mixedbread import Mixedbread, UnprocessableEntityError

ADDRESS = f"http://127.0.0.1:{sys.argv[1]}"
MODEL = "mixedbread-ai/mxbai-embed-large-v1"
FORMATS: Any = ["float", "float16", "base64", "binary", "ubinary", "int8", "uint8"]
NOTHING: Any = None
REFUSED: list[Any] = [
    {"input": []},
    {"input": ["x"] * 257},
    {"input": "x", "dimensions": 0},
    {"input": "x", "prompt": "p" * 257},
]

client = Mixedbread(
    api_key="KEY", base_url=ADDRESS, max_retries=0, _strict_response_validation=True
)

answer = client.embeddings.create(model=MODEL, input=["hi", "yo"])
assert (answer.object, answer.normalized, answer.encoding_format) == ("list", True, "float")
assert [(0, "embedding"), (1, "embedding")] == [(row.index, row.object) for row in answer.data]
assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
vector: Any = answer.data[0].embedding
assert len(vector) == answer.dimensions
assert abs(math.fsum(x * x for x in vector) - 1) < 1e-3

several = client.embed(model=MODEL, input="hi", encoding_format=FORMATS)
embedding: Any = several.data[0].embedding
size = several.dimensions or 0
assert several.data[0].object == "embedding_dict"
assert isinstance(embedding.base64, str)
assert len(embedding.ubinary) == len(embedding.binary) == (size + 7) // 8
assert [byte - 128 for byte in embedding.ubinary] == embedding.binary
decoded = struct.unpack(f"<{size}f", base64.b64decode(embedding.base64))
assert max(abs(a - b) for a, b in zip(decoded, embedding.float, strict=True)) < 1e-6
bits = [embedding.ubinary[i // 8] >> (7 - i % 8) & 1 for i in range(size)]
assert bits == [int(x > 0) for x in embedding.float]

assert client.embed(model=MODEL, input="hi", dimensions=NOTHING, prompt=NOTHING).dimensions == size
assert client.info().name

for fields in REFUSED:
    try:
        client.embed(model=MODEL, **fields)
    except UnprocessableEntityError as error:
        body: Any = error.body
        assert body["error"]["message"] == body["message"]
    else:
        raise SystemExit(f"accepted: {list(fields)}")

try:
    Mixedbread(api_key="wrong", base_url=ADDRESS, max_retries=0).embed(model=MODEL, input="x")
except mixedbread.AuthenticationError:
    pass
else:
    raise SystemExit("accepted: a wrong key")

print("ok mixedbread", mixedbread.__version__)
