"""Both transports carry the same request."""

from dataclasses import replace

from gateway.inference.messages import build_request, probing
from load_tests.host_path.transport_client import render
from load_tests.host_path.transports import WAYS, Case, table


def test_http_carries_the_bytes_of_grpc() -> None:
    call = replace(probing("org--model"), texts=(b"salt", "Brötchen".encode()))
    target, body = render("127.0.0.1:1", call)
    json_bytes = int(target.headers["Inference-Header-Content-Length"])
    assert body[json_bytes:] == b"".join(build_request(call, range(2)).raw_input_contents)
    assert target.url == "http://127.0.0.1:1/v2/models/org--model/infer"


def test_the_steps_are_one_column() -> None:
    cost = {"client": 1.0, "tritonserver": 2.0, "tokenizer": 3.0, "encoder": 4.0, "quantize": 5.0}
    lines = table({Case(1, 12, 1): dict.fromkeys(WAYS, cost)}).splitlines()
    assert lines[2] == "| 1 x 12 tokens, 1 caller | grpc.aio, as the gateway | 1 | 2 | 12 |"
    assert len(lines) == 2 + len(WAYS)
