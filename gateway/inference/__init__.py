"""How Triton is asked: the seam, chunks, turns, tensors and errors."""

import os

# gRPC's core writes lines to stderr past every handler of a log, in a form of its own. It reads
# this when it is loaded; what matters of those lines comes as an exception too.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
