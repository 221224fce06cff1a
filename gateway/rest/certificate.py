"""Certificate: TLS of the gateway itself, from files that may be replaced while it serves.

Every handshake takes the certificate of the moment; connections that are open keep theirs. A new
pair is taken up when all of it can be used, so half of one, which is what copying looks like on
the way, changes nothing.
"""

import asyncio
import logging
import math
import os
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.settings import PREFIX, Settings, SettingsError

# Between two looks at the files.
LOOK_SECONDS = 5.0

# Not among Python's names: the dates of a certificate do not matter. Source: openssl/x509_vfy.h.
_NO_CHECK_TIME = 0x200000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of files in PEM.

    chain      the certificate, then those that it is signed by
    client_ca  whom a client's certificate must be signed by; None asks for none
    """

    chain: Path
    key: Path
    client_ca: Path | None

    def state(self) -> list[tuple[int, ...]]:
        """Other numbers when a file is another one.

        Raises: OSError.
        """
        paths = filter(None, (self.chain, self.key, self.client_ca))
        stats = [os.stat(path) for path in paths]
        return [(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats]


class Certificate:
    """What handshakes are made with.

    context  for a server's sockets; it stays the same
    expires  seconds since 1970; NaN if that cannot be told
    """

    def __init__(self, files: Files) -> None:
        """Raises: SettingsError with one sentence for the operator."""
        self._files = files
        self._state = _state(files)
        self.context = self._current = load(files)
        self.context.sni_callback = self._choose
        self.expires = expiry(files.chain, self._current)

    async def watch(self, look_seconds: float = LOOK_SECONDS) -> None:
        """Looks at the files for ever."""
        while True:
            await asyncio.sleep(look_seconds)
            self.look()

    def look(self) -> None:
        """Takes up the files if they were changed and can be used."""
        state = _state(self._files)
        if state == self._state:
            return
        self._state = state
        try:
            loaded = load(self._files)
        except SettingsError as error:
            logger.error("the certificate is not replaced, the one before it goes on: %s", error)
            return
        self._current = loaded
        self.expires = expiry(self._files.chain, loaded)
        logger.info("the certificate is replaced")

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """Called by OpenSSL at the beginning of each handshake, whether a name is sent or not."""
        connection.context = self._current


def open_certificate(settings: Settings) -> Certificate | None:
    """As the settings say; None is plain HTTP.

    Raises: SettingsError.
    """
    chain, key, ca = settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file
    if not (chain or key or ca):
        return None
    if not (chain and key):
        raise SettingsError(f"set {PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE, both of them")
    return Certificate(Files(Path(chain), Path(key), Path(ca) if ca else None))


def load(files: Files) -> ssl.SSLContext:
    """A context of a server.

    Raises: SettingsError with one sentence that says which file is at fault.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _check(files.chain, "TLS_CERT_FILE", b"CERTIFICATE")
    _check(files.key, "TLS_KEY_FILE", b"PRIVATE KEY")
    try:
        context.load_cert_chain(files.chain, files.key, password=_refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            sentence = f"{PREFIX}TLS_KEY_FILE is the key of another certificate"
        else:
            pair = f"{PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE"
            sentence = f"{pair} cannot be used: {error.reason or error}"
        raise SettingsError(sentence) from error
    except ValueError as error:
        raise SettingsError(f"{PREFIX}TLS_KEY_FILE is encrypted: decrypt it") from error
    if files.client_ca:
        _check(files.client_ca, "TLS_CLIENT_CA_FILE", b"CERTIFICATE")
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            message = f"{PREFIX}TLS_CLIENT_CA_FILE cannot be used: {error.reason or error}"
            raise SettingsError(message) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def expiry(chain: Path, server: ssl.SSLContext) -> float:
    """Seconds since 1970, as a client sees it: Python reads certificates in handshakes only."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    try:
        client.load_verify_locations(chain)
        certificate = _handshake(client, server).getpeercert() or {}
        return ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    except (ssl.SSLError, OSError, KeyError, ValueError):
        return math.nan


def _handshake(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> ssl.SSLObject:
    """The client's side, as far as the server's certificate.

    Raises: ssl.SSLError.
    """
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client


def _state(files: Files) -> object:
    try:
        return files.state()
    except OSError as error:
        return str(error)


def _check(path: Path, name: str, kind: bytes) -> None:
    """Raises: SettingsError if a file cannot be read, or is no PEM with such a block."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{PREFIX}{name}: {path} cannot be read: {error.strerror}") from error
    if kind + b"-----" not in content:
        raise SettingsError(f"{PREFIX}{name}: {path} holds no {kind.decode()} in PEM")


def _refuse_password() -> str:
    """Instead of a question at the terminal."""
    raise ValueError("the key is encrypted")
