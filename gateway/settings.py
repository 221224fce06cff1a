"""Settings: everything an operator can choose, read once from the environment.

The variable of a field is `GATEWAY_` + its name in capitals.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_args, get_type_hints

from gateway.api_keys import InvalidKey, read_keys

BitOrder = Literal["msb", "lsb"]
TokenIds = Literal["auto", "cl100k_base", "o200k_base", "off"]

PREFIX = "GATEWAY_"
MAX_PORT = 65535

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@*\s]+|null|\*")


class SettingsError(ValueError):
    """A setting that cannot be served; the message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One field per choice; its annotation tells the unit and what goes wrong on either side."""

    host: Annotated[
        str,
        "Address to listen on, or a name, which is every address it stands for; `0.0.0.0`, or `::`"
        " with IPv6, in a container, elsewhere that opens the service to the network.",
    ] = "127.0.0.1"
    port: Annotated[int, "TCP port to listen on; `0` takes a free one."] = 8000
    operations_host: Annotated[
        str, "Address or name to serve operations on; none is that of `GATEWAY_HOST`."
    ] = ""
    operations_port: Annotated[
        int,
        "TCP port for what machines and operators ask, in plain HTTP and without a key: `/metrics`,"
        " which is then nowhere else, the page at `/operator`, and `/health`, which is on both"
        " ports. `0` is none: everything on one port.",
    ] = 0
    triton_address: Annotated[
        str,
        "Triton's gRPC: `host:port`; several, separated by commas; or `dns:///name:port`, each"
        " address of which is a Triton of its own, and which is resolved again every 2 s.",
    ] = "127.0.0.1:8001"
    revision_shares: Annotated[
        str,
        "Which part of the callers gets which revision of a model while Tritons serve several:"
        " `model=revision:90,revision:10; model=…`, a revision by its first digits. One without a"
        " share gets nobody; without any, they follow the number of Tritons.",
    ] = ""
    triton_ca_file: Annotated[
        str,
        "File in PEM with the certificates that Triton's is signed by; with it Triton is asked by"
        " TLS, and its certificate must be for the host in the address, or for the name. Read"
        " again every 5 s, as are the two below.",
    ] = ""
    triton_cert_file: Annotated[
        str, "File in PEM with the gateway's own certificate, for a Triton that asks for one."
    ] = ""
    triton_key_file: Annotated[str, "File in PEM with its key, not encrypted."] = ""
    tls_cert_file: Annotated[
        str,
        "File in PEM with the gateway's certificate and those it is signed by: with it the gateway"
        " speaks HTTPS and nothing else, TLS 1.2 and above. Read again when it changes, as are the"
        " two below.",
    ] = ""
    tls_key_file: Annotated[str, "File in PEM with its key, not encrypted."] = ""
    tls_client_ca_file: Annotated[
        str,
        "File in PEM with the certificates that those of clients must be signed by. With it every"
        " client needs one, probes of load balancers and Prometheus included.",
    ] = ""
    auth: Annotated[
        Literal["required", "off"],
        "`off` lets everybody in; `required` without any key refuses to start.",
    ] = "required"
    api_keys: Annotated[
        frozenset[bytes],
        "API keys, separated by commas; several, so that they can be rotated."
        " `sha256:<hex>` stands for the key with that digest.",
    ] = field(default=frozenset(), repr=False)
    api_keys_file: Annotated[
        str,
        "File with more API keys: one a line, `#` begins a comment line; or, if it ends in"
        " `.toml`, tables that say what each key may do, see `docs/operations.md`.",
    ] = ""
    redis_url: Annotated[
        str,
        "Redis in which gateways count together for the limits of keys, and keep the cache with"
        " `GATEWAY_CACHE=redis`: `redis://user:password@host:6379/0`, `rediss://` with TLS. None:"
        " each counts by itself.",
    ] = field(default="", repr=False)
    redis_failure: Annotated[
        Literal["open", "closed"],
        "While Redis does not answer, `open` lets each gateway count by itself, `closed` refuses"
        " calls of keys with limits with 503.",
    ] = "open"
    allowed_origins: Annotated[
        tuple[str, ...],
        "Origins, separated by commas, whose pages may call this service from a browser, such as"
        " `https://app.example.org`; `*` is every page in the world. None answers no preflight.",
    ] = ()
    timeout_seconds: Annotated[
        float,
        "Seconds for a whole call, upload included. Above 60 the SDKs give up first and repeat"
        " work that still runs; too low fails big calls under load.",
    ] = 50.0
    keep_alive_seconds: Annotated[
        float,
        "Seconds that a connection may stay open between two requests. Below what clients and"
        " proxies in front keep theirs (usually 60 or less), some calls meet a closed one.",
    ] = 75.0
    drain_seconds: Annotated[
        float,
        "Seconds between SIGTERM and the end of accepting calls, unready all the while: what load"
        " balancers need to notice, 5 to 10 in a cluster. `0` ends at once, as at a terminal.",
    ] = 0.0
    max_body_bytes: Annotated[
        int,
        "Bytes of a request body. Too low refuses long texts; too high and one body keeps others"
        " waiting while it is parsed: 4 MiB take up to 50 ms.",
    ] = 4 * 1024 * 1024
    max_inflight_bytes: Annotated[
        int,
        "Bytes of bodies, texts and embeddings held for calls in flight, and half as many of"
        " answers being sent; above it calls get 429. A key gets at most half of it for big calls"
        " and three quarters for small ones. The process needs up to three times as much.",
    ] = 128 * 1024 * 1024
    max_texts: Annotated[
        int, "Texts of one call. Higher means fewer round trips and longer waits for others."
    ] = 256
    max_prompt_characters: Annotated[
        int, "Characters of `prompt`, which is put before every text and counts as tokens."
    ] = 256
    token_ids: Annotated[
        TokenIds,
        "OpenAI's encoding that turns an `input` of token ids into texts, as LangChain and others"
        " send it; with the wrong one the texts are nonsense. `auto` is `cl100k_base` where the"
        " extra `token-ids` is installed, and `off` elsewhere, which refuses ids.",
    ] = "auto"  # noqa: S105 - no secret
    max_inflight_tokens: Annotated[
        int,
        "Estimated tokens that wait or that Triton has, for each Triton that is well; above it"
        " calls get 429. A key gets at most half of it for big calls and three quarters for small"
        " ones. Too low and the machine idles.",
    ] = 2_000_000
    max_wait_seconds: Annotated[
        float,
        "Seconds of work that may be in flight of each lane, at the rate of late while calls had to"
        " wait; more gets 429 at once, and a key its share as above. Near"
        " `GATEWAY_TIMEOUT_SECONDS` and an overloaded service times out more than it answers; low"
        " refuses bursts that it could do.",
    ] = 20.0
    chunk_tokens: Annotated[
        int,
        "Estimated tokens of one Triton request. Higher mixes callers less, lower costs overhead"
        " for each request. A model on a GPU gets half as much again as its micro-batch.",
    ] = 1024
    chunk_texts: Annotated[
        int, "Texts of one Triton request; more where 16 tokens a text do not fill it."
    ] = 64
    small_call_tokens: Annotated[
        int,
        "Estimated tokens up to which a call is interactive; bigger calls are bulk. Too high and"
        " queries wait behind indexers, too low and queries count as indexing.",
    ] = 512
    bulk_window_tokens: Annotated[
        int,
        "Estimated tokens of bulk calls that each Triton has at a time, of each model; the others"
        " wait here for their turn. Too high and big calls get more than small ones, too low and"
        " the machine idles; several encoder instances need as many times more. A model on a GPU"
        " gets at least four of its micro-batches.",
    ] = 2048
    interactive_window_tokens: Annotated[
        int,
        "The same for interactive calls. An encoder that answers in the order of arrival gives"
        " both lanes tokens in the ratio of their windows. At least two micro-batches on a GPU.",
    ] = 1024
    multi_format_object: Annotated[
        Literal["auto", "embedding", "embedding_dict"],
        "`object` of an item that holds several formats. `auto` says `embedding_dict` to the"
        " generated SDKs, which need it, and `embedding` to everybody else.",
    ] = "auto"
    binary_bit_order: Annotated[
        BitOrder,
        "Bit order of `binary` and `ubinary`. `lsb` is for stored vectors packed that way;"
        " mixing the two makes distances meaningless.",
    ] = "msb"
    cache: Annotated[
        Literal["off", "memory", "redis"],
        "Where embeddings are kept, so that the same text is not computed again: in the memory of"
        " this process, or in the Redis of `GATEWAY_REDIS_URL`, for all gateways with the same"
        " secret. See below what it tells others.",
    ] = "off"
    cache_bytes: Annotated[
        int,
        "Bytes of the cache in memory; what was not asked for the longest goes first. A text of a"
        " model of 1024 dimensions takes 4.4 KB as `float` or `base64`, 0.5 KB as `ubinary`.",
    ] = 256 * 1024 * 1024
    cache_secret: Annotated[
        str,
        "What the cache in Redis is keyed and sealed with, the same for all gateways that share"
        " it: 16 characters at least, such as `openssl rand -hex 32` gives.",
    ] = field(default="", repr=False)
    cache_secret_file: Annotated[
        str, "File that holds the secret of the cache instead; white space around it is nothing."
    ] = ""
    cache_shared: Annotated[
        Literal["no", "yes"],
        "Whether API keys share the cache. With `yes` how long an answer takes tells a caller"
        " whether somebody else embedded a text before.",
    ] = "no"
    usage_log: Annotated[
        str,
        "Folder of the usage log: a line for every call that was answered with embeddings, whose"
        " it was and its tokens, to bill from. It must exist, on a local disk: every answer waits"
        " until its line is written. None keeps no log.",
    ] = ""
    usage_file_bytes: Annotated[
        int,
        "Bytes after which a new file of the usage log is begun; every process and every day of"
        " UTC has files of its own.",
    ] = 64 * 1024 * 1024
    usage_sync_seconds: Annotated[
        float,
        "Seconds between two syncs of the usage log: what a loss of power may cost. The death of"
        " the process costs nothing.",
    ] = 1.0
    pages: Annotated[
        Literal["on", "off"],
        "`off` serves no pages for people: `/` is JSON to browsers too, `/operator` and `/docs` are"
        " not there.",
    ] = "on"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        "Least severe line that is logged; `info` logs every request.",
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"],
        "`text` is for people; `json` writes one object a line, for what collects logs.",
    ] = "text"

    def __post_init__(self) -> None:
        for name, variable in VARIABLES.items():
            variable.check(getattr(self, name))
        if self.auth == "required" and not (self.api_keys or self.api_keys_file):
            raise SettingsError(
                f"no API key is configured: set {PREFIX}API_KEYS or {PREFIX}API_KEYS_FILE,"
                f" or let everybody in with {PREFIX}AUTH=off"
            )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None, **chosen: object) -> "Settings":
        """The settings in `environ`, by default that of the process; `chosen` wins over it.

        Raises: SettingsError.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {
            name: variable.parse(environ[variable.name])
            for name, variable in VARIABLES.items()
            if environ.get(variable.name)
        }
        return cls(**(values | chosen))


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: what --help and docs/settings.md print, and how it is read."""

    name: str
    default: object
    kind: Any
    why: str

    @property
    def choices(self) -> tuple[str, ...]:
        return get_args(self.kind) if isinstance(self.default, str) else ()

    def parse(self, text: str) -> object:
        if isinstance(self.default, frozenset):
            return self._read_keys(text)
        if isinstance(self.default, tuple):
            return tuple(_read_origins(text))
        try:
            return type(self.default)(text)  # type: ignore[call-arg]  # str, int or float
        except ValueError as error:
            raise SettingsError(f"{self.name} is {text!r}, which is not a number") from error

    def _read_keys(self, text: str) -> frozenset[bytes]:
        try:
            return frozenset(entry.digest for entry in read_keys(text))
        except InvalidKey as error:
            raise SettingsError(f"{self.name}: {error}") from error

    def check(self, value: object) -> None:
        if self.choices and value not in self.choices:
            allowed = ", ".join(self.choices)
            raise SettingsError(f"{self.name} is {value!r}, allowed are {allowed}")
        if self.name in (f"{PREFIX}PORT", f"{PREFIX}OPERATIONS_PORT"):
            if value not in range(MAX_PORT + 1):
                raise SettingsError(f"{self.name} is {value}, ports are 0 to {MAX_PORT}")
        elif self.name == f"{PREFIX}DRAIN_SECONDS" and value == 0:
            pass
        elif isinstance(value, int | float) and not 0 < value < float("inf"):
            raise SettingsError(f"{self.name} is {value}, it must be a positive number")


def _read_variables() -> Iterator[tuple[str, Variable]]:
    hints = get_type_hints(Settings, include_extras=True)
    for setting in fields(Settings):
        kind, why = get_args(hints[setting.name])
        name = PREFIX + setting.name.upper()
        yield setting.name, Variable(name, setting.default, kind, why)


VARIABLES: dict[str, Variable] = dict(_read_variables())


def _read_origins(text: str) -> Iterator[str]:
    """Origins as browsers write them: lower case, no path."""
    for word in filter(None, map(str.strip, text.split(","))):
        origin = word.lower().removesuffix("/")
        if not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"{PREFIX}ALLOWED_ORIGINS holds {word!r}, which is no origin such as"
                " https://app.example.org, and not * either"
            )
        yield origin
