"""Channels to a Triton, each to one address: in the clear, or by TLS with files that may change."""

import ssl
from pathlib import Path
from typing import NamedTuple, Protocol

import grpc

from gateway.settings import PREFIX, Settings, SettingsError

OPTIONS = (
    # 256 texts of 4096 float32 are above gRPC's 4 MiB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A restarted Triton is found again within a second, not within two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Triton's default tolerates a ping every five minutes.
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.use_local_subchannel_pool", 1),
)


class Channels(Protocol):
    """How a channel is opened."""

    def open(self, address: str, host: str = "") -> grpc.aio.Channel:
        """A channel to an address.

        host  that its certificate is for, where that is not the one in the address
        """
        ...

    def have_changed(self) -> bool:
        """Whether a channel that is opened now is another than one that was opened before."""
        ...


class Clear:
    """Channels without TLS."""

    def open(self, address: str, host: str = "") -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(address, options=OPTIONS)

    def have_changed(self) -> bool:
        return False


class Files(NamedTuple):
    """The contents of the files in PEM: whom to trust, and who we are, if anybody asks."""

    trusted: bytes
    certificate: bytes | None
    key: bytes | None


class Secure:
    """Channels by TLS; mutual, where there is a certificate of ours.

    Raises: SettingsError if a file cannot be used.
    """

    def __init__(self, ca_file: str, cert_file: str, key_file: str) -> None:
        if bool(cert_file) != bool(key_file):
            raise SettingsError(
                f"{PREFIX}TRITON_CERT_FILE and {PREFIX}TRITON_KEY_FILE belong together:"
                " set both or none"
            )
        self._paths = ca_file, cert_file, key_file
        self._files = self._read()

    def open(self, address: str, host: str = "") -> grpc.aio.Channel:
        files = self._files
        credentials = grpc.ssl_channel_credentials(files.trusted, files.key, files.certificate)
        names = [("grpc.ssl_target_name_override", host)] if host else []
        return grpc.aio.secure_channel(address, credentials, options=[*OPTIONS, *names])

    def have_changed(self) -> bool:
        """Files that cannot be used, as half of a new pair cannot, are left for later."""
        try:
            files = self._read()
        except SettingsError:
            return False
        changed, self._files = files != self._files, files
        return changed

    def _read(self) -> Files:
        ca_file, cert_file, key_file = self._paths
        trusted = _read_file("CA", ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=trusted.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise SettingsError(f"{PREFIX}TRITON_CA_FILE holds no certificate in PEM") from error
        if not cert_file:
            return Files(trusted, None, None)
        files = Files(trusted, _read_file("CERT", cert_file), _read_file("KEY", key_file))
        try:
            context.load_cert_chain(cert_file, key_file, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            raise SettingsError(
                f"{PREFIX}TRITON_CERT_FILE and {PREFIX}TRITON_KEY_FILE are no certificate in PEM"
                " with its own key, which must not be encrypted"
            ) from error
        return files


def _no_password() -> str:
    """Instead of a question at the terminal."""
    raise ValueError("the key is encrypted")


def _read_file(what: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        name = f"{PREFIX}TRITON_{what}_FILE"
        raise SettingsError(f"{name}: {path} cannot be read: {error.strerror}") from error


def choose_channels(settings: Settings) -> Channels:
    """As the settings say.

    Raises: SettingsError.
    """
    files = settings.triton_ca_file, settings.triton_cert_file, settings.triton_key_file
    if not any(files):
        return Clear()
    if not settings.triton_ca_file:
        raise SettingsError(
            f"{PREFIX}TRITON_CA_FILE is missing: without it nobody knows which Triton to trust"
        )
    return Secure(*files)
