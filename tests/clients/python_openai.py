"""The SDK `openai` against a running service: python python_openai.py PORT."""

import sys
from typing import Any

import openai
from openai import OpenAI

ADDRESS = f"http://127.0.0.1:{sys.argv[1]}"
MODEL = "mixedbread-ai/mxbai-embed-large-v1"
EXTRA = {"prompt": "q: ", "normalized": False, "truncation_strategy": "start"}
REFUSED: list[tuple[Any, str | None]] = [
    ({"model": "wrong-id", "input": "x"}, "model_not_found"),
    ({"model": MODEL, "input": [[1, -2]]}, None),
    ({"model": MODEL, "input": "x", "encoding_format": "bad"}, None),
]

for root in (f"{ADDRESS}/v1", ADDRESS):  # people leave /v1 out, as the API reference tells them to
    client = OpenAI(api_key="KEY", base_url=root, max_retries=0)
    packed = client.embeddings.create(model=MODEL, input=["hi"])  # asks for base64
    plain = client.embeddings.create(
        model=MODEL, input=["hi"], encoding_format="float", user="somebody"
    )
    pairs = zip(packed.data[0].embedding, plain.data[0].embedding, strict=True)
    assert max(abs(a - b) for a, b in pairs) < 1e-6
    assert packed.usage.prompt_tokens == plain.usage.prompt_tokens
    assert packed._request_id
    assert any(model.id == MODEL for model in client.models.list())
    assert client.models.retrieve(MODEL).object == "model"

ids = client.embeddings.create(model=MODEL, input=[[6151]])  # cl100k_base's "hi"
assert ids.data[0].embedding == packed.data[0].embedding
assert ids.usage == packed.usage

prompted = client.embeddings.create(model=MODEL, input="hi", extra_body=EXTRA)
assert prompted.data[0].embedding != packed.data[0].embedding

for fields, code in REFUSED:
    try:
        client.embeddings.create(**fields)
    except openai.UnprocessableEntityError as error:
        assert error.param, fields
        assert error.type, fields
        assert error.request_id, fields
        assert code in (None, error.code), error.code
    else:
        raise SystemExit(f"accepted: {fields}")

try:
    wrong = OpenAI(api_key="wrong", base_url=f"{ADDRESS}/v1", max_retries=0)
    wrong.embeddings.create(model=MODEL, input="x")
except openai.AuthenticationError as error:
    assert error.code == "invalid_api_key"
else:
    raise SystemExit("accepted: a wrong key")

print("ok openai", openai.__version__)
