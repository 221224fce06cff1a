"""For schemathesis: half of all bodies name a model that is served, else only names are tried."""

import os
import random
from typing import Any

import schemathesis

MODEL = os.environ.get("MODEL", "mixedbread-ai/mxbai-embed-large-v1")


@schemathesis.hook  # type: ignore[untyped-decorator]
def map_body(context: Any, body: Any) -> Any:
    """Called for every body that is generated."""
    if isinstance(body, dict) and "model" in body and random.random() < 0.5:  # noqa: S311
        body["model"] = MODEL
    return body
