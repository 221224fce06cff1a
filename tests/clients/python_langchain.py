"""LangChain with its default settings against a running service: python python_langchain.py PORT.

It sends token ids; tiktoken, which makes them, downloads a vocabulary unless TIKTOKEN_CACHE_DIR
names a folder that has it.
"""

import sys
from importlib.metadata import version

import httpx
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

ADDRESS = f"http://127.0.0.1:{sys.argv[1]}/v1"
MODEL = "mixedbread-ai/mxbai-embed-large-v1"
TEXTS = ["hi", "Wie bäckt man Brot? 🍞", "面包", "a <|endoftext|> b", "bread " * 200]

embeddings = OpenAIEmbeddings(model=MODEL, api_key=SecretStr("KEY"), base_url=ADDRESS)
found = [*embeddings.embed_documents(TEXTS), embeddings.embed_query(TEXTS[1])]
answer = httpx.post(
    f"{ADDRESS}/embeddings",
    json={"model": MODEL, "input": [*TEXTS, TEXTS[1]]},
    headers={"Authorization": "Bearer KEY"},
)
expected = [item["embedding"] for item in answer.json()["data"]]
pairs = [pair for rows in zip(found, expected, strict=True) for pair in zip(*rows, strict=True)]
assert max(abs(a - b) for a, b in pairs) < 1e-6

print("ok langchain-openai", version("langchain-openai"))
