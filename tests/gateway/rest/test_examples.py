"""The examples of openapi.json: each is answered as it says, and every error has one.

A new error wants one under `components.responses` of its status, as `render_error` writes it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.fakes import MODEL
from tests.gateway.rest.test_contract_document import Row, real_errors

pytestmark = pytest.mark.anyio


@cache
def schema() -> Any:
    return json.loads(files("gateway.rest").joinpath("openapi.json").read_bytes())


def resolve(node: Any) -> Any:
    """What stands where a `$ref` points."""
    while "$ref" in node:
        found = schema()
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        node = found
    return node


@dataclass(frozen=True)
class Example:
    """A request, and the status that is documented for it."""

    name: str
    method: str
    path: str
    status: int
    body: Any = None
    with_key: bool = True


def examples() -> Iterator[Example]:
    for path, operations in schema()["paths"].items():
        for method, operation in operations.items():
            yield from examples_of(path, method, operation)


def examples_of(path: str, method: str, operation: Any) -> Iterator[Example]:
    """Of a body, of what stands in the path, or the plain request."""
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]
        for name, node in body["examples"].items():
            found = resolve(node)
            status, has_key = found["x-status"], found.get("x-key", True)
            yield Example(f"{path} {name}", method, path, status, found["value"], has_key)
    elif "parameters" in operation:
        for name, found in operation["parameters"][0]["examples"].items():
            place = path.replace("{id}", quote(found["value"]))
            yield Example(f"{path} {name}", method, place, found["x-status"])
    else:
        yield Example(path, method, path, 200, with_key="security" not in operation)


@pytest.mark.parametrize("example", list(examples()), ids=lambda example: example.name)
async def test_an_example_is_answered_as_it_says(
    client: httpx.AsyncClient, example: Example
) -> None:
    headers = {} if example.with_key else {"Authorization": ""}
    content = None if example.body is None else json.dumps(example.body)
    response = await client.request(example.method, example.path, headers=headers, content=content)
    assert response.status_code == example.status
    assert response.status_code == 200 or response.json().keys() == an_error().keys()


def test_examples_name_the_model_that_pages_replace() -> None:
    bodies = [example.body for example in examples() if example.body]
    named = {body["model"] for body in bodies if isinstance(body, dict)}
    assert named == {MODEL, "no/such-model"}


def error_examples() -> Iterator[tuple[str, Any]]:
    """Status and body of every error that is shown."""
    statuses = {
        answer["$ref"].rpartition("/")[2]: status
        for operations in schema()["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if "$ref" in answer
    } | {"MethodNotAllowed": "405"}
    for name, response in schema()["components"]["responses"].items():
        for example in response["content"]["application/json"]["examples"].values():
            yield statuses[name], example["value"]


def an_error() -> Any:
    return next(body for _, body in error_examples())


def test_every_error_is_shown_under_its_status() -> None:
    shown: set[Row] = {
        (status, body["type"], body["error"]["code"], body["error"]["type"])
        for status, body in error_examples()
    }
    assert shown == real_errors()
