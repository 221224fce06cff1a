"""TLS of the gateway: on real sockets, with certificates of authorities made for the test."""

import asyncio
import logging
import math
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import trustme
import uvicorn
from cryptography.hazmat.primitives import serialization
from starlette.types import Receive, Scope, Send

from gateway import Settings
from gateway.rest import http_server
from gateway.rest.certificate import Certificate, Files, open_certificate
from gateway.rest.http_protocol import HttpProtocol
from gateway.rest.http_server import HttpServer
from gateway.rest.patience import Patience
from gateway.settings import SettingsError
from tests.fakes import MODEL
from tests.gateway.fake_gateway import run_fake_gateway

pytestmark = pytest.mark.anyio

NAME = "embeddings.internal"
END = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def stranger() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    files = Files(tmp_path / "cert.pem", tmp_path / "key.pem", None)
    write(files, authority)
    return files


def write(files: Files, authority: trustme.CA, end: datetime = END) -> trustme.LeafCert:
    """A new certificate and its key."""
    leaf = authority.issue_cert(NAME, not_after=end)
    files.chain.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(files.key)
    return leaf


def trusting(authority: trustme.CA, own: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """A client's context."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if own:
        own.configure_cert(context)
    return context


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """At once, without a look at the body."""
    head = {"status": 200, "headers": [(b"content-length", b"2")]}
    if scope["method"] == "POST":
        head["headers"].append((b"connection", b"close"))  # type: ignore[attr-defined]
    await send({"type": "http.response.start"} | head)
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(certificate: Certificate) -> AsyncIterator[int]:
    """A server with it; gives the port."""
    stopping = threading.Event()
    protocol: Any = partial(HttpProtocol, patience=Patience(), stopping=stopping)
    config = uvicorn.Config(answer, http=protocol, lifespan="off", log_config=None)
    config.load()
    server = HttpServer(config, stopping, tls=certificate.context)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup([listener])
        port = listener.getsockname()[1]
        try:
            yield port
        finally:
            await server.shutdown([listener])


async def connect(
    port: int, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return await reader.readuntil(b"ok")


def end_seen(writer: asyncio.StreamWriter) -> float:
    """Of the certificate that a connection was made with."""
    return ssl.cert_time_to_seconds(writer.get_extra_info("peercert")["notAfter"])


async def test_a_new_pair_is_for_new_connections_and_drops_none(
    files: Files, authority: trustme.CA
) -> None:
    certificate = Certificate(files)
    async with serving(certificate) as port:
        before = await connect(port, trusting(authority))
        write(files, authority, END + timedelta(days=90))
        certificate.look()
        after = await connect(port, trusting(authority))
        for reader, writer in (before, after, before):
            assert (await ask(reader, writer)).startswith(b"HTTP/1.1 200")
        assert end_seen(before[1]) == END.timestamp()
        assert end_seen(after[1]) == certificate.expires
        assert certificate.expires == (END + timedelta(days=90)).timestamp()
        for _, writer in (before, after):
            writer.close()


@pytest.mark.parametrize("broken", ["gone", "empty", "half", "another-key"])
async def test_a_new_pair_that_cannot_be_used_is_refused_and_the_old_one_goes_on(
    files: Files, authority: trustme.CA, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Certificate(files)
    async with serving(certificate) as port:
        key = files.key.read_bytes()
        if broken == "gone":
            files.key.unlink()
        else:
            another = authority.issue_cert(NAME).private_key_pem.bytes()
            files.key.write_bytes(
                {"empty": b"", "half": key[: len(key) // 2], "another-key": another}[broken]
            )
        for _ in range(3):
            certificate.look()
        _, writer = await connect(port, trusting(authority))
        assert end_seen(writer) == END.timestamp()
        writer.close()
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "GATEWAY_TLS_KEY_FILE" in caplog.text
        write(files, authority, END + timedelta(days=1))
        certificate.look()
        assert certificate.expires == (END + timedelta(days=1)).timestamp()


async def test_the_files_are_looked_at_again_and_again(files: Files, authority: trustme.CA) -> None:
    certificate = Certificate(files)
    watcher = asyncio.create_task(certificate.watch(0.001))
    write(files, authority, END + timedelta(days=1))
    async with asyncio.timeout(10):
        while certificate.expires == END.timestamp():
            await asyncio.sleep(0.001)
    watcher.cancel()


async def test_clients_need_a_certificate_where_there_is_an_authority_for_them(
    files: Files, authority: trustme.CA, stranger: trustme.CA, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    certificate = Certificate(Files(files.chain, files.key, ca))
    known = trusting(authority, authority.issue_cert("client@internal"))
    unknown = trusting(authority, stranger.issue_cert("client@internal"))
    async with serving(certificate) as port:
        for context in (trusting(authority), unknown):
            reader, writer = await connect(port, context)
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await ask(reader, writer)
        reader, writer = await connect(port, known)
        assert (await ask(reader, writer)).startswith(b"HTTP/1.1 200")
        writer.close()
        stranger.cert_pem.write_to_path(ca)  # replaced, as certificates are
        certificate.look()
        reader, writer = await connect(port, unknown)
        assert (await ask(reader, writer)).startswith(b"HTTP/1.1 200")
        writer.close()
        reader, writer = await connect(port, known)
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await ask(reader, writer)


async def test_tls_1_1_is_not_spoken(files: Files, authority: trustme.CA) -> None:
    old = trusting(authority)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with serving(Certificate(files)) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect(port, old)


async def test_plain_http_ends_the_connection(files: Files) -> None:
    async with serving(Certificate(files)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"HTTP" not in await reader.read()
        writer.close()


async def test_a_handshake_that_does_not_come_is_not_waited_for(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert http_server.HELLO_SECONDS <= 10
    monkeypatch.setattr(http_server, "HELLO_SECONDS", 0.05)
    async with serving(Certificate(files)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


async def test_an_answer_before_the_end_of_the_body_is_read(
    files: Files, authority: trustme.CA
) -> None:
    """As a body above the limit gets one."""
    async with serving(Certificate(files)) as port:
        reader, writer = await connect(port, trusting(authority))
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        writer.write(head + b"x" * 1000)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()


def encrypt(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def settings_of(files: Files, **changed: str) -> Settings:
    paths = {"tls_cert_file": str(files.chain), "tls_key_file": str(files.key)}
    return Settings(auth="off", **(paths | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"tls_key_file": ""}, "set GATEWAY_TLS_CERT_FILE and GATEWAY_TLS_KEY_FILE, both of them"),
        ({"tls_cert_file": ""}, "set GATEWAY_TLS_CERT_FILE and GATEWAY_TLS_KEY_FILE, both"),
        ({"tls_cert_file": "/absent"}, "TLS_CERT_FILE: /absent cannot be read: No such file"),
        ({"tls_key_file": "/"}, "TLS_KEY_FILE: / cannot be read: Is a directory"),
        ({"tls_key_file": __file__}, "TLS_KEY_FILE: .* holds no PRIVATE KEY in PEM"),
        ({"tls_client_ca_file": "/absent"}, "TLS_CLIENT_CA_FILE: /absent cannot be read"),
        ({"tls_client_ca_file": __file__}, "TLS_CLIENT_CA_FILE: .* holds no CERTIFICATE in PEM"),
    ],
)
def test_what_cannot_be_used_is_a_sentence(
    files: Files, changed: dict[str, str], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        open_certificate(settings_of(files, **changed))


def test_a_key_of_another_certificate_is_a_sentence(files: Files, authority: trustme.CA) -> None:
    authority.issue_cert(NAME).private_key_pem.write_to_path(files.key)
    with pytest.raises(SettingsError, match="TLS_KEY_FILE is the key of another certificate"):
        open_certificate(settings_of(files))


def test_an_encrypted_key_is_a_sentence_and_no_question(files: Files) -> None:
    encrypt(files)
    with pytest.raises(SettingsError, match="TLS_KEY_FILE is encrypted: decrypt it"):
        open_certificate(settings_of(files))


def test_half_a_certificate_is_a_sentence(files: Files) -> None:
    content = files.chain.read_bytes()
    files.chain.write_bytes(content[:100] + content[200:])
    with pytest.raises(SettingsError, match="TLS_CERT_FILE and GATEWAY_TLS_KEY_FILE cannot be us"):
        open_certificate(settings_of(files))


def test_an_expired_certificate_says_since_when(files: Files, authority: trustme.CA) -> None:
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    write(files, authority, end)
    certificate = Certificate(files)
    assert not math.isnan(certificate.expires)
    assert certificate.expires == end.timestamp()


def test_the_sdk_calls_the_whole_gateway_by_tls(files: Files, authority: trustme.CA) -> None:
    leaf = authority.issue_cert("localhost")
    files.chain.write_bytes(leaf.cert_chain_pems[0].bytes())
    leaf.private_key_pem.write_to_path(files.key)
    with (
        run_fake_gateway(
            files.chain.parent,
            GATEWAY_TLS_CERT_FILE=str(files.chain),
            GATEWAY_TLS_KEY_FILE=str(files.key),
        ) as gateway,
        httpx2.Client(verify=trusting(authority)) as http,
    ):
        url = f"https://localhost:{gateway.port}"
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="any", http_client=http)
        latest = time.monotonic() + 20
        while http.get(f"{url}/health/ready").status_code != 200:
            assert time.monotonic() < latest
            time.sleep(0.05)
        answer = client.embeddings.create(model=MODEL, input=["x" * 100_000, "b"])
        assert len(answer.data) == 2
        assert "gateway_tls_certificate_expiry_timestamp_seconds" in http.get(f"{url}/metrics").text
        assert gateway.stop() == 0
