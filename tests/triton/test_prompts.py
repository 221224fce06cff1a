"""What an export says of a checkpoint's prompts, through the real Triton to a caller."""

from collections.abc import Iterator

import httpx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from export import Serving
from export.checkpoint import ModelSpec
from export.repository import MAX_PROMPTS_CHARACTERS, ensemble_config, render
from tests.serving import API_KEY, run_gateway
from tests.triton.conftest import TOY_CONFIG, TOY_MODEL, RunTriton

pytestmark = pytest.mark.triton

LONG = "x" * (MAX_PROMPTS_CHARACTERS - 100)
PROMPTS = {"b": 'say: "bread"\n', "a": "\u67e5\u8be2\uff1a", "long": LONG}
SPEC = ModelSpec(
    architecture="bert",
    dimensions=4,
    max_length=100,
    pooling="mean",
    prompts=tuple(PROMPTS.items()),
    default_prompt_name="b",
    similarity="dot",
)
# In place of tokens: the bytes of a text are what came before it, too.
COUNTING = TOY_MODEL.replace(
    "np.full(count, 3, np.int32)",
    'np.array([len(t) for t in pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()],'
    " np.int32)",
)


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, run_triton: RunTriton
) -> Iterator[httpx.Client]:
    """A gateway on the toy, which counts bytes, with the parameters of an exported ensemble."""
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "toy/1").mkdir(parents=True)
    (folder / "toy/1/model.py").write_text(COUNTING)
    config = text_format.Parse(TOY_CONFIG, model_config_pb2.ModelConfig())
    exported = ensemble_config(SPEC, Serving("toy"), revision="", edition="0123456789ab")
    for key in exported.parameters:
        config.parameters[key].CopyFrom(exported.parameters[key])
    (folder / "toy/config.pbtxt").write_bytes(render(config))
    with run_gateway(run_triton(folder).grpc_port) as client:
        client.headers["Authorization"] = API_KEY
        yield client


def test_a_model_shows_what_was_exported(client: httpx.Client) -> None:
    model = client.get("/v1/models/toy").json()
    assert (PROMPTS, "b", "dot") == tuple(
        model[key] for key in ("prompts", "default_prompt_name", "similarity")
    )
    assert list(PROMPTS) == list(model["prompts"])


@pytest.mark.parametrize(
    ("fields", "before"),
    [({}, 13), ({"prompt": None}, 13), ({"prompt": ""}, 0), ({"prompt": "q"}, 2)],
    ids=["absent", "null", "empty", "another"],
)
def test_the_default_prompt_goes_before_the_texts_of_calls_that_give_none(
    client: httpx.Client, fields: dict[str, object], before: int
) -> None:
    answer = client.post("/v1/embeddings", json={"model": "toy", "input": ["bread"] * 3} | fields)
    assert 3 * (before + len("bread")) == answer.json()["usage"]["prompt_tokens"]
