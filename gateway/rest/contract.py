"""What callers get: EmbeddingResponse → bytes, errors → bytes."""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from gateway.errors import GatewayError, InvalidField
from gateway.rest.encoding import Column, Format


class EmbeddingResponse(msgspec.Struct, frozen=True):
    """What the caller gets; `columns` holds one entry per text for each format.

    tokens       of all texts together, as fed to the encoder
    dimensions   components before packing
    dict_object  the `object` of an item that holds several formats
    """

    model: str
    columns: Mapping[Format, Column]
    tokens: int
    normalized: bool
    dimensions: int
    dict_object: str = "embedding"


def render_response(response: EmbeddingResponse) -> bytes:
    """The body of a 200; items in the order of the texts.

    `embedding` is the plain value for one format and an object keyed by format for several.
    """
    formats = tuple(response.columns)
    if len(formats) == 1:
        embeddings: Any = response.columns[formats[0]]
        item_object = "embedding"
    else:
        rows = zip(*response.columns.values(), strict=True)
        embeddings = (dict(zip(formats, row, strict=True)) for row in rows)
        item_object = response.dict_object
    body = {
        "model": response.model,
        "object": "list",
        "data": [
            {"object": item_object, "index": index, "embedding": embedding}
            for index, embedding in enumerate(embeddings)
        ],
        "usage": {"prompt_tokens": response.tokens, "total_tokens": response.tokens},
        "normalized": response.normalized,
        "encoding_format": formats[0] if len(formats) == 1 else formats,
        "dimensions": response.dimensions,
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def render_error(error: GatewayError) -> bytes:
    """The one error body, readable by every client family of docs/contract.md."""
    body = {
        "type": error.type,
        "url": f"urn:triton-embeddings:error:{error.code}",
        "message": error.message,
        "details": error.details,
        "detail": error.details if isinstance(error, InvalidField) else error.message,
        "error": {
            "message": error.message,
            "type": error.openai_type,
            "param": error.param,
            "code": error.code,
        },
    }
    return orjson.dumps(body)
