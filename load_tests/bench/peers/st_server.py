"""sentence-transformers behind the smallest FastAPI server: what one writes in five minutes."""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

checkpoint, port = sys.argv[1:]
app = FastAPI()
model = SentenceTransformer(checkpoint, device="cpu")


class Request(BaseModel):
    input: list[str]


@app.post("/embeddings")
def embed(request: Request) -> dict[str, Any]:
    embeddings = model.encode(request.input, normalize_embeddings=True, show_progress_bar=False)
    return {
        "data": [
            {"object": "embedding", "index": index, "embedding": embedding}
            for index, embedding in enumerate(embeddings.tolist())
        ]
    }


uvicorn.run(app, port=int(port), access_log=False)
