"""What the gateway measurement sends, reads and prints; nothing here is timed."""

import os
from pathlib import Path

import orjson
import pytest
from starlette.testclient import TestClient
from tritonclient.grpc import service_pb2_grpc

from gateway import Settings, create_app
from gateway.inference.triton import TritonEmbedder
from load_tests.bench.client import Target
from load_tests.bench.constant import ConstantStub
from load_tests.bench.gateway import (
    CASES,
    Case,
    Cost,
    Row,
    measure_head,
    recipe,
    render_request,
    table,
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_is_answered(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    # Patched because that is what the benchmark does: its Triton is constants.
    monkeypatch.setattr(service_pb2_grpc, "GRPCInferenceServiceStub", ConstantStub)
    app = create_app(Settings(auth="off"), TritonEmbedder("127.0.0.1:1"))
    with TestClient(app) as client:
        assert client.get("/health/ready").status_code == 200
        answer = client.post("/v1/embeddings", content=case.body)
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == case.texts
    assert answer.json()["dimensions"] == case.dimensions


def test_a_single_text_is_sent_bare() -> None:
    assert isinstance(orjson.loads(CASES[0].body)["input"], str)


def test_a_request_is_rendered_as_it_goes_over_the_wire() -> None:
    target = Target("http://127.0.0.1:80/path", "model", {"Authorization": "Bearer KEY"})
    assert render_request(target, b"{}") == (
        b"POST /path HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 2\r\n"
        b"Authorization: Bearer KEY\r\n\r\n{}"
    )


def test_the_head_of_an_answer_tells_where_the_body_ends() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx-request-id: a\r\n\r\n"
    assert measure_head(head + b"x" * 12) == (12, len(head))
    head = b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 3\r\nContent-Length: 12\r\n\r\n"
    assert measure_head(head + b"x" * 12) == (12, len(head))


def test_the_table_has_the_servers_in_the_order_of_their_turns() -> None:
    row = Row(CASES[0], {"gateway": Cost(4000.0, 0.25), "bare": Cost(16000.0, 0.0605)})
    head, _, line = table([row]).splitlines()
    assert head.index("gateway, calls/s") < head.index("bare, calls/s")
    assert line == "| 1 x 384 float | 4000 | 0.250 | 16000 | 0.060 |"


def test_the_code_of_a_commit_is_the_one_that_is_imported(tmp_path: Path) -> None:
    before = recipe("gateway", tmp_path)
    assert (before.name, before.folder) == ("before", tmp_path)
    assert dict(before.environ)["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path)
