"""One of each kind through the real Triton and the gateway, against plain sentence-transformers."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sentence_transformers import SentenceTransformer

from export.translations import translated
from tests.checkpoints import ARCHITECTURES, make_checkpoint
from tests.models.comparison import (
    TEXTS,
    Call,
    Floats,
    agreement,
    calls,
    encode,
    export,
    normalizes,
    plain,
)
from tests.serving import serve

KINDS = (
    *("default-prompt", "mpnet", "sentence-t5", "embeddinggemma", "static"),
    *("jina-v2", "gte-new", "bge-m3", "qwen3"),
)
PATIENCE_SECONDS = 120.0


def compare_served(folder: Path, kinds: Sequence[str] = KINDS) -> Iterator[tuple[str, float]]:
    """All kinds in one repository, by one service; the lowest cosine of each.

    Raises: ExportError; AssertionError if a model says other than its checkpoint.
    """
    repository = folder / "models"
    with ExitStack() as stack:
        references = {}
        for kind in kinds:
            checkpoint = make_checkpoint(folder / kind, kind)
            export(checkpoint, ARCHITECTURES[kind], repository, kind)
            read, _ = stack.enter_context(translated(checkpoint))
            references[kind] = plain(read, ARCHITECTURES[kind])
        service = stack.enter_context(serve(repository, folder))
        client = stack.enter_context(
            httpx.Client(base_url=service.url, headers=service.headers, timeout=PATIENCE_SECONDS)
        )
        models = {model["id"]: model for model in client.get("/v1/models").json()["data"]}
        assert set(kinds) == set(models)
        for kind, theirs in references.items():
            _check_prompts(models[kind], theirs)
            yield kind, _compare(client, kind, theirs)


def _check_prompts(model: dict[str, Any], theirs: SentenceTransformer) -> None:
    assert {name: text for name, text in theirs.prompts.items() if text} == model["prompts"]
    assert theirs.default_prompt_name == model["default_prompt_name"]


def _compare(client: httpx.Client, model: str, theirs: SentenceTransformer) -> float:
    worst = 1.0
    for call in calls(theirs):
        expected = encode(theirs, call)
        norms = np.linalg.norm(expected, axis=1, keepdims=True)
        unit = np.divide(expected, norms, where=norms > 0, out=np.zeros_like(expected))
        for normalized, reference in ((False, expected), (True, unit)):
            any_length = not normalized and normalizes(theirs)
            alone = np.concatenate(
                [_embed(client, model, [text], call, normalized) for text in TEXTS]
            )
            together = _embed(client, model, TEXTS, call, normalized)
            for found in (alone, together):
                worst = min(worst, agreement(found, reference, any_length))
    return worst


def _embed(
    client: httpx.Client, model: str, texts: Sequence[str], call: Call, normalized: bool
) -> Floats:
    body = {"model": model, "input": list(texts), "normalized": normalized}
    body |= {"encoding_format": "float", "prompt": call.asked}
    response = client.post("/v1/embeddings", json=body)
    assert response.status_code == 200, response.text
    return np.array([row["embedding"] for row in response.json()["data"]], dtype=np.float32)
