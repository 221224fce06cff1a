"""Model repositories of the graphs, as an export would make them, for Triton to serve.

What the exporter does with a checkpoint is not measured here: its tokenizer is that of
all-MiniLM-L6-v2, its weights are those of `weights`, which are filled in where it is served.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from export.checkpoint import ModelSpec
from export.manifest import Manifest, hash_files, write_manifest
from export.repository import assemble, seal, version_folder, write_step_configs, write_steps
from export.serving import Serving, Target
from export.steps.inference import CANARY, CpuEncoder, write_canary
from export.steps.tokenization import PackedTokenizer
from load_tests.bench.servers import checkpoint
from load_tests.gpu.numerics import BOUND
from load_tests.gpu.shapes import LONGEST, PACKED, STANDARD, Shape, graph_of, repository_of
from load_tests.gpu.weights import LISTING, data_of, fill
from load_tests.payloads import QUESTIONS, take, texts

CANARIES = 8


def make_repository(graphs: Path, shape: Shape, target: Target) -> Path:
    """Without its weights; the same again if it is there."""
    repository = repository_of(graphs, shape, target)
    if repository.exists():
        return repository
    repository.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository.parent) as folder:
        staged = Path(folder, "staged")
        _stage(staged, graphs, shape, target)
        for data in staged.rglob("*.data"):
            data.unlink()
        staged.rename(repository)
    return repository


def _stage(staged: Path, graphs: Path, shape: Shape, target: Target) -> None:
    tokenizer_json = version_folder(staged, "tokenizer") / "tokenizer.json"
    _write_tokenizer(tokenizer_json)
    encoder = version_folder(staged, "encoder")
    graph = graph_of(graphs, shape, STANDARD if target == "cpu" else PACKED)
    for name in (graph.name, LISTING):
        shutil.copy(graph.with_name(name), encoder)
    fill(encoder / graph.name)
    _write_canary(encoder / CANARY, tokenizer_json, graph_of(graphs, shape, STANDARD))
    write_steps(staged)
    serving = Serving(shape.name, target=target)
    if target != "cpu":
        serving = serving.settled("fp16", shape.product_weights)
    spec = ModelSpec("bert", shape.hidden, LONGEST, "mean")
    write_step_configs(staged, spec, serving, windows=False)
    edition = seal(staged)
    folders = assemble(staged, spec, serving, "of random weights", edition)
    manifest = Manifest(
        request={},
        revision="of random weights",
        edition=edition,
        weights="",
        versions={},
        files=hash_files(staged, folders),
        verification={},
        quality=None,
        check="",
    )
    write_manifest(staged, serving.name, manifest)


def _write_tokenizer(path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(checkpoint() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(path))


def _write_canary(path: Path, tokenizer_json: Path, graph: Path) -> None:
    """By the CPU, from the same weights."""
    tokenizer = PackedTokenizer(tokenizer_json, LONGEST)
    input_ids, seq_lens = tokenizer.tokenize(take(CANARIES, texts(QUESTIONS, "canary")))
    had_weights = data_of(graph).exists()
    fill(graph)
    embeddings = CpuEncoder(graph).embed(input_ids, seq_lens)
    if not had_weights:
        data_of(graph).unlink()
    write_canary(path, np.split(input_ids, np.cumsum(seq_lens)[:-1]), embeddings, BOUND)
