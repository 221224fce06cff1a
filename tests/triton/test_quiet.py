"""Nothing is told to anybody by what serves a model."""

from pathlib import Path

import httpx
import pytest

from tests.serving import serve
from tests.strace import STRACE, innocent_environment, needs_strace, strangers

pytestmark = pytest.mark.triton


@needs_strace
def test_the_service_reaches_out_to_nobody(repository: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    environment = innocent_environment(tmp_path)
    with serve(repository, tmp_path, [*STRACE, str(trace)], environment) as service:
        models = httpx.get(f"{service.url}/v1/models", headers=service.headers).json()["data"]
        for model in models:
            body = {"model": model["id"], "input": "Is anybody out there?"}
            answer = httpx.post(
                f"{service.url}/v1/embeddings", json=body, headers=service.headers, timeout=60
            )
            assert answer.status_code == 200
    assert "127.0.0.1" in trace.read_text(errors="replace")
    assert list(strangers(trace)) == []
    assert not list(tmp_path.rglob("deviceid"))
