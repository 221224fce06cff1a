"""Liveness of Triton: embeds one text by each model. A queue that is full is alive."""

import http.client
import json
import os
import sys

CALL = {
    "inputs": [
        {"name": "TEXT", "datatype": "BYTES", "shape": [1], "data": ["alive"]},
        {"name": "TRUNCATION", "datatype": "INT32", "shape": [1], "data": [0]},
        {"name": "DIMENSIONS", "datatype": "INT32", "shape": [1], "data": [0]},
        {"name": "NORMALIZED", "datatype": "BOOL", "shape": [1], "data": [True]},
    ],
    "outputs": [{"name": "UBINARY"}],
}


def post(path: str, body: object = None) -> tuple[int, bytes]:
    """Status and body of Triton's answer."""
    port = int(os.environ.get("TRITON_HTTP_PORT", "8000"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=24)
    connection.request("POST", path, json.dumps(body) if body else "")
    answer = connection.getresponse()
    return answer.status, answer.read()


for model in json.loads(post("/v2/repository/index")[1]):
    if model.get("state") == "READY" and "@" not in model["name"]:
        status, said = post(f"/v2/models/{model['name']}/infer", CALL)
        if status != 200 and b"maximum queue size" not in said:
            sys.exit(f"{model['name']}: {status}")
