"""The gateway as the person who started it sees it: the key, the address, a first request."""

import contextlib
import http.client
import json
import os
import secrets
import shlex
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.local.triton_process import LOOPBACK
from gateway.local.triton_wheel import CannotServe

ASK_SECONDS = 0.3  # between two questions whether the gateway is ready


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that opens the gateway, and where it is kept."""

    key: str
    home: str
    file: str = ""


def find_api_key(environ: Mapping[str, str], file: Path) -> ApiKey:
    """The first key given in the environment, else the file's, made at the first start.

    Keys that are given by their digest are of no use here: nobody can print those.
    """
    given = [key.strip() for key in environ.get("GATEWAY_API_KEYS", "").split(",")]
    for key in given:
        if key and not key.startswith("sha256:"):
            return ApiKey(key, "GATEWAY_API_KEYS", environ.get("GATEWAY_API_KEYS_FILE", ""))
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(f"te-{secrets.token_urlsafe(24)}\n")
    for line in file.read_text().splitlines():
        if line and not line.startswith(("#", "sha256:")):
            return ApiKey(line.strip(), str(file), str(file))
    raise CannotServe(f"{file} holds no API key: remove it to get a new one.")


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """The gateway as a client on this machine sees it."""

    host: str
    port: int
    api_key: ApiKey

    @property
    def address(self) -> str:
        """Host and port to connect to, also when the gateway listens on every address."""
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def models(self) -> list[str]:
        """Ids of the models served now; none while the gateway is not ready."""
        connection = http.client.HTTPConnection(self.address, timeout=5)
        headers = {"Authorization": f"Bearer {self.api_key.key}"}
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/v1/models", headers=headers)
                answer = connection.getresponse()
                if answer.status != http.HTTPStatus.OK:
                    return []
                return [model["id"] for model in json.load(answer)["data"]]
            except (OSError, http.client.HTTPException):
                return []

    def curl(self, model: str) -> str:
        """A first request as a line for the shell."""
        body = json.dumps({"model": model, "input": "Hello, world"})
        headers = [f"Authorization: Bearer {self.api_key.key}", "Content-Type: application/json"]
        options = [part for header in headers for part in ("-H", header)]
        return shlex.join(
            ["curl", "-s", f"http://{self.address}/v1/embeddings", *options, "-d", body]
        )


def announce(front_door: FrontDoor, stopping: threading.Event) -> None:
    """Say how to use the gateway, once it has models to serve."""
    models: list[str] = []
    while not models:
        if stopping.wait(ASK_SECONDS):
            return
        models = front_door.models()
    print(
        f"\nReady at http://{front_door.address}\n"
        f"  models   {', '.join(models)}\n"
        f"  API key  {front_door.api_key.key} (kept in {front_door.api_key.home})\n"
        f"  try      {front_door.curl(models[0])}\n"
        "  end      Ctrl-C\n",
        flush=True,
    )
