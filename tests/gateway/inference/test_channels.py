"""TLS towards Triton, against a real gRPC server with certificates of a CA made for the test."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import trustme
from tritonclient.grpc import service_pb2_grpc

from gateway.errors import TritonUnavailable
from gateway.inference import mending
from gateway.inference.channels import Clear, Secure, choose_channels
from gateway.inference.triton import TritonEmbedder
from gateway.settings import Settings, SettingsError
from tests.fakes import FakeTriton
from tests.gateway.inference.test_triton import call_for, wait_until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def serve_tls(
    ca: trustme.CA, host: str, clients: trustme.CA | None = None
) -> AsyncIterator[int]:
    """A Triton with a certificate for a host, that asks its clients for one of `clients`."""
    certificate = ca.issue_cert(host)
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())],
        clients.cert_pem.bytes() if clients else None,
        require_client_auth=clients is not None,
    )
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(FakeTriton(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


class Folder:
    """Where the files of TLS lie."""

    def __init__(self, path: Path) -> None:
        self.ca, self.cert, self.key = (str(path / name) for name in ("ca", "cert", "key"))

    def write(self, trusted: trustme.CA, ours: trustme.CA | None = None) -> None:
        trusted.cert_pem.write_to_path(self.ca)
        if ours:
            certificate = ours.issue_cert("gateway.internal")
            certificate.cert_chain_pems[0].write_to_path(self.cert)
            certificate.private_key_pem.write_to_path(self.key)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def test_triton_is_asked_by_tls(folder: Folder) -> None:
    ca = trustme.CA()
    folder.write(ca)
    async with serve_tls(ca, "127.0.0.1") as port:
        for channels, is_served in ((Secure(folder.ca, "", ""), True), (Clear(), False)):
            embedder = TritonEmbedder(f"127.0.0.1:{port}", channels=channels)
            if is_served:
                await embedder.embed(call_for(b"x"))
            else:
                with pytest.raises(TritonUnavailable):
                    await embedder.embed(call_for(b"x"))
            await embedder.close()


async def test_a_triton_of_another_authority_is_not_trusted(folder: Folder) -> None:
    folder.write(trustme.CA())
    async with serve_tls(trustme.CA(), "127.0.0.1") as port:
        embedder = TritonEmbedder(f"127.0.0.1:{port}", channels=Secure(folder.ca, "", ""))
        with pytest.raises(TritonUnavailable):
            await embedder.embed(call_for(b"x"))
        await embedder.close()


async def test_a_certificate_is_for_the_name_and_not_for_its_addresses(folder: Folder) -> None:
    ca = trustme.CA()
    folder.write(ca)
    async with serve_tls(ca, "triton.internal") as port:

        async def resolve(host: str, port_of_name: int) -> list[str]:
            return [f"127.0.0.1:{port}"]

        embedder = TritonEmbedder(
            "dns:///triton.internal:8001", channels=Secure(folder.ca, "", ""), resolve=resolve
        )
        with pytest.raises(TritonUnavailable):  # not resolved yet
            await embedder.embed(call_for(b"x"))
        await wait_until(lambda: [one.state for one in embedder.status()] == ["ready"])
        await embedder.close()


async def test_certificates_are_mutual_and_renewed_without_a_restart(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "FILES_SECONDS", 0.02)
    ca, before, after = trustme.CA(), trustme.CA(), trustme.CA()
    folder.write(ca, before)
    async with serve_tls(ca, "127.0.0.1", clients=after) as port:
        channels = Secure(folder.ca, folder.cert, folder.key)
        embedder = TritonEmbedder(f"127.0.0.1:{port}", channels=channels)
        with pytest.raises(TritonUnavailable):
            await embedder.embed(call_for(b"x"))
        folder.write(ca, after)
        await wait_until(lambda: [one.state for one in embedder.status()] == ["ready"])
        await embedder.embed(call_for(b"x"))
        await embedder.close()


def test_half_of_a_new_pair_is_left_for_later(folder: Folder) -> None:
    ca = trustme.CA()
    folder.write(ca, ca)
    channels = Secure(folder.ca, folder.cert, folder.key)
    assert not channels.have_changed()
    other = ca.issue_cert("gateway.internal")
    other.cert_chain_pems[0].write_to_path(folder.cert)
    assert not channels.have_changed()
    other.private_key_pem.write_to_path(folder.key)
    assert channels.have_changed()
    assert not channels.have_changed()
    shutil.move(folder.ca, f"{folder.ca}~")
    assert not channels.have_changed()


def settings(**files: str) -> Settings:
    return Settings(auth="off", **{f"triton_{name}_file": path for name, path in files.items()})  # type: ignore[arg-type]


def test_without_files_there_is_no_tls() -> None:
    assert isinstance(choose_channels(settings()), Clear)


def test_what_cannot_be_used_is_said_in_a_sentence(folder: Folder, tmp_path: Path) -> None:
    ca = trustme.CA()
    folder.write(ca, ca)
    text = tmp_path / "text"
    text.write_text("no certificate at all")
    for files, why in (
        ({"ca": "/no/such/file"}, "TRITON_CA_FILE: /no/such/file cannot be read: No such file"),
        ({"ca": str(text)}, "TRITON_CA_FILE holds no certificate in PEM"),
        ({"cert": folder.cert, "key": folder.key}, "TRITON_CA_FILE is missing"),
        ({"ca": folder.ca, "cert": folder.cert}, "belong together"),
        ({"ca": folder.ca, "cert": folder.cert, "key": "/no"}, "TRITON_KEY_FILE: /no cannot"),
        ({"ca": folder.ca, "cert": folder.cert, "key": str(text)}, "no certificate in PEM with"),
        ({"ca": folder.ca, "cert": folder.ca, "key": folder.key}, "with its own key"),
    ):
        with pytest.raises(SettingsError, match=why):
            choose_channels(settings(**files))
