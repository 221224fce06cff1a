"""The tensor FORMATS: nothing but what is asked is computed, and older repositories are served."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import chain, combinations
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from export.repository import assemble, render, seal, write_step_configs, write_steps
from export.serving import Serving
from gateway.inference.embedder import NumberFormat
from gateway.inference.messages import build_request
from gateway.inference.tensors import EMBEDDINGS, pack_int32
from gateway.inference.triton import TritonEmbedder
from tests.export.exports import SPEC, write_manifest_of
from tests.gateway.inference.test_triton import call_for, wait_until
from tests.triton.replacement import ExplicitTriton

pytestmark = [pytest.mark.triton, pytest.mark.anyio]

NAME = "constant"
ALL: tuple[NumberFormat, ...] = tuple(EMBEDDINGS)
TEXTS = (b"bread", b"water and salt", b"")

# In place of the tokenizer and the encoder, so that nothing has to be exported.
STAND_INS = {
    "tokenizer": """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
        lengths = np.array([len(text) + 2 for text in texts], np.int32)
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("INPUT_IDS", np.arange(lengths.sum(), dtype=np.int64)),
            pb_utils.Tensor("SEQ_LENS", lengths),
        ])
""",
    "encoder": """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        lengths = pb_utils.get_input_tensor_by_name(request, "SEQ_LENS").as_numpy()[0]
        rows = [np.random.default_rng(length).standard_normal(384) for length in lengths]
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("EMBEDDING", np.array([rows], dtype=np.float32)),
        ])
""",
}


def publish(output: Path, older: bool) -> str:
    """A model as it is exported today, or was before there was FORMATS; gives its version."""
    serving = Serving(NAME)
    write_steps(output)
    write_step_configs(output, SPEC, serving, windows=False)
    for step, source in STAND_INS.items():
        (output / step / "1" / "model.py").write_text(source)
    if older:
        drop_formats(output / "quantize" / "config.pbtxt")
    edition = seal(output)
    folders = assemble(output, SPEC, serving, revision="abc", edition=edition)
    if older:
        drop_formats(output / NAME / "config.pbtxt")
    write_manifest_of(output, serving, edition, folders)
    (version,) = (path.name for path in (output / NAME).iterdir() if path.is_dir())
    return version


def drop_formats(path: Path) -> None:
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    assert config.input[-1].name == "FORMATS"
    del config.input[-1]
    for step in config.ensemble_scheduling.step:
        step.input_map.pop("FORMATS", None)
    path.write_bytes(render(config))


class Editions:
    """Triton, and two editions of a model that it can be told to serve."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = {
            "older": publish(folder / "older", older=True),
            "newer": publish(folder / "newer", older=False),
        }
        for name in self.versions:
            rmtree(folder / "models" / NAME, ignore_errors=True)
            copytree(folder / name, folder / "models", dirs_exist_ok=True)
        self.triton = ExplicitTriton(folder / "models", folder / "log", "formats")

    async def serve(self, name: str) -> None:
        served = self.folder / "models" / NAME
        rmtree(served)
        copytree(self.folder / name / NAME, served)
        await asyncio.to_thread(self.triton.tell, "load", NAME)


@pytest.fixture(scope="module")
def editions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editions]:
    editions = Editions(tmp_path_factory.mktemp("formats"))
    with editions.triton:
        editions.triton.start()
        yield editions


@pytest.fixture
async def embedder(editions: Editions) -> AsyncIterator[TritonEmbedder]:
    embedder = TritonEmbedder(f"127.0.0.1:{editions.triton.grpc_port}")
    yield embedder
    await embedder.close()


async def embed(embedder: TritonEmbedder, *formats: NumberFormat) -> tuple[str, dict[str, bytes]]:
    """The edition that answered, and the bytes of each format."""
    call = call_for(*TEXTS, ensemble=NAME, number_formats=formats)
    found = await embedder.embed(call)
    return found.edition, {name: array.tobytes() for name, array in found.arrays.items()}


async def test_every_set_of_formats_is_what_an_older_export_gives(
    editions: Editions, embedder: TritonEmbedder
) -> None:
    await editions.serve("older")
    await embedder.repository()
    edition, before = await embed(embedder, *ALL)
    assert (editions.versions["older"], set(ALL)) == (edition, set(before))

    await editions.serve("newer")
    await embedder.repository()
    sets = chain.from_iterable(combinations(ALL, size) for size in range(1, len(ALL) + 1))
    for formats in sets:
        edition, now = await embed(embedder, *formats)
        assert editions.versions["newer"] == edition
        assert {name: before[name] for name in formats} == now


async def test_nothing_is_computed_but_what_is_asked(
    editions: Editions, embedder: TritonEmbedder
) -> None:
    """A request that names no outputs gets all that there are."""
    await editions.serve("newer")
    ((replica),) = embedder.fleet.replicas.values()
    sets: list[tuple[NumberFormat, ...]] = [("int8",), ("float", "ubinary"), ALL]
    for formats in sets:
        request = build_request(call_for(*TEXTS, ensemble=NAME, number_formats=formats), [0, 1])
        del request.outputs[:]
        answer = await replica.stub.ModelInfer(request)
        names = {EMBEDDINGS[one].name for one in formats}
        assert names | {"TOKEN_COUNT", "WIDTH"} == {output.name for output in answer.outputs}


async def test_a_set_that_is_none_is_refused(editions: Editions, embedder: TritonEmbedder) -> None:
    await editions.serve("newer")
    ((replica),) = embedder.fleet.replicas.values()
    for formats in (0, 64, -1):
        request = build_request(call_for(*TEXTS, ensemble=NAME), [0])
        request.raw_input_contents[-1] = pack_int32(formats)
        with pytest.raises(Exception, match=f'FORMATS_REFUSED {{"formats": {formats}, "all": 63}}'):
            await replica.stub.ModelInfer(request)


async def test_editions_with_and_without_it_change_places_and_no_call_fails(
    editions: Editions, embedder: TritonEmbedder
) -> None:
    await editions.serve("older")
    await embedder.repository()
    answered: set[str] = set()
    is_over = False

    async def call() -> None:
        while not is_over:
            edition, found = await embed(embedder, "int8")
            assert ["int8"] == list(found)
            answered.add(edition)

    callers = [asyncio.create_task(call()) for _ in range(4)]
    for name in ("newer", "older", "newer", "older"):  # the gateway is late to learn of each
        await editions.serve(name)
        answered.clear()
        await wait_until(lambda name=name: editions.versions[name] in answered)
        await embedder.repository()
    is_over = True
    await asyncio.gather(*callers)
