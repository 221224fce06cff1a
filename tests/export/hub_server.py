"""A Hub on loopback: the part of its API that huggingface_hub asks while it downloads a model.

Small files come from the Hub itself, weights by a redirect to another host (as from its CDN), both
with ranges. What is refused is refused with the statuses and headers of the real one.
"""

import hashlib
import json
import socket
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

TOKEN = "hf_QkVhcmVyT2ZBVGVzdA"  # noqa: S105 - of this Hub, reads everything
STRANGER = "hf_QVN0cmFuZ2VyV2l0aG91dEFueUFjY2Vzcw"  # valid, may read public models only
LFS = (".safetensors", ".bin", ".onnx", ".h5", ".gguf", ".msgpack", ".ot", ".pt")

XET = {"X-Xet-Access-Token": "of the storage", "X-Xet-Token-Expiration": str(2**32)}

Commit = dict[str, bytes]  # name → content


@dataclass
class Model:
    """A repository: its commits by branch, tag or reference."""

    refs: dict[str, Commit]
    private: bool = False
    gated: bool = False
    disabled: bool = False
    xet: bool = False  # weights lie in the storage that hf_xet asks, which is broken here

    def commits(self) -> dict[str, Commit]:
        return {commit_of(files): files for files in self.refs.values()}

    def find(self, revision: str) -> str | None:
        """The commit of a reference, or of itself."""
        if revision in self.refs:
            return commit_of(self.refs[revision])
        return revision if revision in self.commits() else None


@dataclass
class Fault:
    """What goes wrong with a file, or with the API where no file is meant."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes, then the connection ends
    reset: bool = False  # as by a router, not by the server
    missing_bytes: int = 0  # of the announced size
    html: bool = False  # a page instead of an answer
    silent: bool = False  # no answer at all
    times: int = 1_000_000


def commit_of(files: Commit) -> str:
    """40 digits that stand for contents."""
    listed = [f"{name} {zlib.crc32(content)}" for name, content in files.items()]
    return hashlib.sha1("\n".join(sorted(listed)).encode()).hexdigest()  # noqa: S324 - as git


def etag_of(name: str, content: bytes) -> str:
    if name.endswith(LFS):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - as git


class LocalHub:
    """The models, what is to go wrong, and what was asked and sent."""

    def __init__(self, models: dict[str, Model]) -> None:
        self.models = models
        self.renamed: dict[str, str] = {}
        self.faults: dict[str, Fault] = {}  # by name of a file; "api" for the rest
        self.sent: Counter[str] = Counter()  # bytes of each file
        self.asked: list[str] = []  # method, path, range
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub, self._server.resets = self, set()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def cdn(self) -> str:
        """The same server under another name: another host to every client."""
        return f"http://localhost:{self._server.server_port}/cdn"

    def forget(self) -> None:
        """Count anew."""
        self.sent.clear()
        self.asked.clear()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if not self.stopping.is_set():
            self.stopping.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def take_fault(self, name: str) -> Fault:
        fault = self.faults.get(name)
        if not fault or not fault.times:
            return Fault()
        fault.times -= 1
        return fault


@contextmanager
def local_hub(models: dict[str, Model]) -> Iterator[LocalHub]:
    """A Hub that runs."""
    hub = LocalHub(models)
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: LocalHub
    resets: set[Any]  # connections that end with RST

    def shutdown_request(self, request: Any) -> None:
        """Without the FIN of the base class where a reset is meant."""
        if request not in self.resets:
            return super().shutdown_request(request)
        linger_zero_seconds = struct.pack("ii", 1, 0)
        request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero_seconds)
        return self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up here as a matter of course."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # 40 ms an answer otherwise
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, path = self.server.hub, urlsplit(self.path).path
        hub.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        if path.startswith("/cdn/"):
            assert "Authorization" not in self.headers, "a token went to another host"
            return self._cdn(path.removeprefix("/cdn/"))
        if path.startswith("/api/models/"):
            return self._api(path.removeprefix("/api/models/"))
        if "/resolve/" in path:
            return self._resolve(path)
        return self._refuse(404)

    def _api(self, path: str) -> None:
        if self._spoil(self.server.hub.take_fault("api")):
            return
        if "/xet-read-token/" in path:
            return self._body(200, b"", XET | {"X-Xet-Cas-Url": f"{self.server.hub.endpoint}/cas"})
        repo_id, kind, revision = path, "", "main"
        for word in ("/revision/", "/tree/"):
            if word in path:
                repo_id, _, revision = path.partition(word)
                kind = word
        if repo_id in self.server.hub.renamed:
            target = path.replace(repo_id, self.server.hub.renamed[repo_id], 1)
            return self._redirect(f"/api/models/{target}", {})
        model = self._permitted(repo_id)
        commit = model and self._commit(model, unquote(revision))
        if not model or not commit:
            return
        files = model.commits()[commit]
        if kind == "/tree/":
            folders = {name.rpartition("/")[0] for name in files if "/" in name}
            listed = [{"type": "directory", "path": folder, "oid": commit} for folder in folders]
            listed += [_entry(name, content, model.xet) for name, content in files.items()]
            return self._json(listed)
        return self._json({"id": repo_id, "modelId": repo_id, "sha": commit, "siblings": []})

    def _resolve(self, path: str) -> None:
        repo_id, _, rest = path[1:].partition("/resolve/")
        revision, _, name = rest.partition("/")
        name = unquote(name)
        if self.command == "HEAD" and self._spoil(self.server.hub.take_fault(f"HEAD {name}")):
            return
        if repo_id in self.server.hub.renamed:
            target = path.replace(repo_id, self.server.hub.renamed[repo_id], 1)
            return self._redirect(target, {})
        model = self._permitted(repo_id)
        commit = model and self._commit(model, unquote(revision))
        if not model or not commit:
            return
        if model.gated and self._token() != TOKEN:
            status = 403 if self._token() else 401
            return self._refuse(status, "GatedRepo", f"Access to model {repo_id} is restricted.")
        files = model.commits()[commit]
        if name not in files:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        etag = etag_of(name, files[name])
        told = {"X-Repo-Commit": commit}
        if not name.endswith(LFS):
            return self._content(name, files[name], told | {"ETag": f'"{etag}"'})
        told |= {"X-Linked-ETag": f'"{etag}"', "X-Linked-Size": str(len(files[name]))}
        place = f"{self.server.hub.cdn}/{repo_id}/{commit}/{quote(name)}"
        return self._redirect(place, told)

    def _cdn(self, path: str) -> None:
        owner, repository, commit, name = path.split("/", 3)
        files = self.server.hub.models[f"{owner}/{repository}"].commits()[commit]
        self._content(unquote(name), files[unquote(name)], {})

    def _content(self, name: str, content: bytes, headers: dict[str, str]) -> None:
        """The file, from where the client asks."""
        fault = self.server.hub.take_fault(name) if self.command == "GET" else Fault()
        if self._spoil(fault):
            return
        content = content[: len(content) - fault.missing_bytes]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        body, status = content[start:], 206 if start else 200
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._head(status, headers | {"Content-Length": str(len(body)), "Accept-Ranges": "bytes"})
        if self.command == "HEAD":
            return
        cut = len(body) if fault.cut_after is None else fault.cut_after
        self.server.hub.sent[name] += len(body[:cut])
        self.wfile.write(body[:cut])
        if cut < len(body):
            self._hang_up(fault.reset)

    def _hang_up(self, reset: bool) -> None:
        if reset:
            self.server.resets.add(self.connection)
        self.close_connection = True

    def _spoil(self, fault: Fault) -> bool:
        """Whether something else than the answer was sent."""
        if fault.silent:
            self.server.hub.stopping.wait(30)
            self.close_connection = True
        elif fault.html:
            self._body(200, b"<html>Log in to the network</html>", {"Content-Type": "text/html"})
        elif fault.status:
            self._refuse(fault.status, headers=fault.headers)
        return fault.silent or fault.html or bool(fault.status)

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _permitted(self, repo_id: str) -> Model | None:
        """The model, or nothing if its absence was answered."""
        model, token = self.server.hub.models.get(repo_id), self._token()
        if token not in ("", TOKEN, STRANGER):
            self._refuse(401, told="Invalid credentials in Authorization header")
            return None
        if model and model.disabled:
            self._refuse(403, told="Access to this resource is disabled.")
            return None
        if model and (not model.private or token == TOKEN):
            return model
        if token:
            self._refuse(404, "RepoNotFound", "Repository not found")
        else:
            self._refuse(401, told="Invalid username or password.")
        return None

    def _commit(self, model: Model, revision: str) -> str | None:
        commit = model.find(revision)
        if not commit:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _refuse(
        self, status: int, code: str = "", told: str = "", headers: dict[str, str] | None = None
    ) -> None:
        given = {"X-Error-Code": code, "X-Error-Message": told, "X-Request-Id": "Root=1-abc"}
        given = {name: value for name, value in given.items() if value}
        body = json.dumps({"error": told or "Something is wrong"}).encode()
        self._body(status, body, given | (headers or {}))

    def _redirect(self, location: str, headers: dict[str, str]) -> None:
        self._body(307, b"", headers | {"Location": location})

    def _json(self, value: Any) -> None:
        self._body(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _body(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(status, headers | {"Content-Length": str(len(body))})
        if self.command == "GET":
            self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _entry(name: str, content: bytes, xet: bool) -> dict[str, Any]:
    """A file as the tree of a commit lists it."""
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
    if name.endswith(LFS):
        entry["lfs"] = {"oid": etag_of(name, content), "size": len(content), "pointerSize": 134}
        entry |= {"xetHash": etag_of(name, content)} if xet else {}
    return entry
