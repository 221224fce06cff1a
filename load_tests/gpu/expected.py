"""What arithmetic says of an H100, before anything was measured, for the column beside it.

Products at 560 TFLOP/s (base), 640 (large) and 400 (MiniLM), 20 passes over the activations of a
layer at 2.6 TB/s, flash attention at 350 TFLOP/s, 1 µs between two kernels.
"""

from collections.abc import Mapping
from typing import Any

MOST_TOKENS, BOTH_WORKERS = 16_384, 2  # of the rates below

_TOKENS_PER_S = {
    ("base", "packed"): {"50": "2.1 M", "128": "2.1 M", "512": "1.9 M", "mixed 128": "2.0 M"},
    ("base", "standard"): {"50": "1.7 M", "128": "1.7 M", "512": "1.6 M"},
    ("large", "packed"): {"50": "0.73 M", "128": "0.73 M", "512": "0.68 M", "mixed 128": "0.7 M"},
    ("minilm", "packed"): {"50": "5 to 7 M", "128": "5 to 7 M"},
}
_ONE_TEXT_MS = {"minilm": "0.5", "base": "0.9", "large": "1.7"}
_QUERY_P99_MS = {"base": "≤ 20", "large": "≤ 35"}
_PEERS = {  # their rate ÷ ours
    "torch eager, varlen": "0.9 to 1.2",
    "sentence-transformers, sorted, 32": "≤ 0.5",
    "sentence-transformers, sorted, 256": "0.67",
    "padded ONNX": "0.4 to 0.6 if mixed",
}


def expected(part: str, case: Mapping[str, Any]) -> str:
    """In the unit of the row's first figure, or "" where nothing was worked out."""
    shape = str(case.get("shape", ""))
    if part == "engine":
        if (case["tokens"], case["workers"]) != (MOST_TOKENS, BOTH_WORKERS):
            return ""
        return _TOKENS_PER_S.get((shape, case["form"]), {}).get(case["mix"], "")
    if part == "one text":
        return _ONE_TEXT_MS.get(shape, "") if case["tokens"] <= 64 else ""
    if part == "queries":
        return _QUERY_P99_MS.get(shape, "") if case["budget"] == "formula" else ""
    if part == "peers":
        return next((told for peer, told in _PEERS.items() if case["peer"].startswith(peer)), "")
    if part == "roof":
        return "3.0" if case["what"] == "copy" else "790" if case["size"] == 8192 else ""
    return _OF_PART.get((part, shape)) or _OF_PART.get((part, ""), "")


_OF_PART = {
    ("load", ""): "5 to 10 s in all",
    ("numerics", ""): "≥ 0.9999",
    ("composition", ""): "≤ 0.002",
    ("canary", ""): "≥ 0.9999",
    ("memory", "base"): "1000 and 500 of context",
    ("service", ""): "0.85 to 0.95 of the encoder",
}
