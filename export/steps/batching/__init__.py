"""Continuous batching: requests of packed texts, embedded in micro-batches of like length.

On a CPU small batches win: a few hundred tokens keep the activations in a core's cache, and what
arrives meanwhile waits for one of them only. A worker takes the next whenever it is free, so no
core waits for another, and a request is answered when its own texts are done. Long texts take turns
on the memory that they need, and short ones pass them meanwhile.

The exporter copies this package beside the encoder step's `model.py`, byte for byte.
"""

from .backlog import LOOK, QUIET, WIDE, Backlog, even_budget
from .batcher import Batcher
from .requests import Request, Slice

__all__ = ["LOOK", "QUIET", "WIDE", "Backlog", "Batcher", "Request", "Slice", "even_budget"]
