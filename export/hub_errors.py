"""What huggingface_hub raises → one sentence that says what to do.

Only names that the operator gave, places of this machine, and the model's page are in it: nothing
of what the libraries print, which can hold addresses, and the token. Errors of this machine stay
OSErrors, with the name of a file or of the cache.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

from export.errors import CheckpointNotFound

UNAUTHORIZED, FORBIDDEN, TOO_MANY, SERVER_ERROR = 401, 403, 429, 500
# Of the Hub or the way to it; what else comes of a file has another origin.
_OF_THE_HUB = (httpx2.HTTPError, EntryNotFoundError, FileMetadataError, OfflineModeIsEnabled)


@contextmanager
def explained(repo_id: str, revision: str | None) -> Iterator[None]:
    """Whatever ends the questions about a model.

    Raises: CheckpointNotFound, OSError.
    """
    try:
        yield
    except HFValidationError as error:
        raise CheckpointNotFound(f"{repo_id} is neither a folder nor a Hub id") from error
    except (httpx2.HTTPError, OSError, json.JSONDecodeError, UnicodeEncodeError) as error:
        cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else None
        cause = cause or error
        if isinstance(cause, OSError) and cause.errno:
            place = cause.filename or constants.HF_HUB_CACHE
            raise OSError(cause.errno, cause.strerror, place) from error
        raise CheckpointNotFound(_sentence(cause, repo_id, revision)) from error


@contextmanager
def explained_file(repo_id: str, name: str) -> Iterator[None]:
    """Whatever ends the way of a file into the cache, and is none of the Hub's answers.

    hf_xet, which fetches large files in parts from a storage beside the Hub, knows RuntimeError.

    Raises: CheckpointNotFound, OSError.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, (*_OF_THE_HUB, UnicodeEncodeError)) or getattr(error, "errno", None):
            raise
        if found := re.search(r"\(os error (\d+)\)", str(error)):  # as Rust's io::Error prints
            code = int(found[1])
            raise OSError(code, os.strerror(code), constants.HF_HUB_CACHE) from error
        if type(error) is OSError:
            told = "came with another size than the Hub announced: export again"
        else:
            told = (
                "did not come whole from the Hub's storage: export again, with "
                "HF_HUB_DISABLE_XET=1 if a firewall lets only the Hub itself through"
            )
        raise CheckpointNotFound(f"{name} of {repo_id} {told}; the other files are kept") from error


def is_away(error: BaseException) -> bool:
    """Whether the Hub said nothing of the model, so that what the cache holds may stand in."""
    if isinstance(error, HfHubHTTPError):
        return _status(error) == TOO_MANY or _status(error) >= SERVER_ERROR
    return isinstance(error, httpx2.TransportError | OfflineModeIsEnabled)


def why_away(error: BaseException) -> str:
    """How it is that the Hub said nothing."""
    match error:
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set"
        case HfHubHTTPError():
            return f"The Hub answers {_status(error)}"
    return f"The Hub at {_endpoint()} cannot be reached"


def _sentence(error: BaseException, repo_id: str, revision: str | None) -> str:
    """What happened to a download, and what to do."""
    match error:
        case GatedRepoError():
            return _gated(repo_id)
        case RepositoryNotFoundError():
            return _missing(repo_id)
        case RevisionNotFoundError():
            return (
                f"{repo_id} has no revision {revision or constants.DEFAULT_REVISION!r}: give "
                "--revision a branch, a tag, a whole commit or refs/pr/<number>"
            )
        case DisabledRepoError():
            return f"{repo_id} is disabled on the Hub: export another model, or a folder"
        case HfHubHTTPError():
            return _refused(error, repo_id)
        case OfflineModeIsEnabled():
            return (
                f"HF_HUB_OFFLINE is set, and {_not_cached(repo_id, revision)}: unset it, or "
                "export a folder"
            )
        case UnicodeEncodeError() | httpx2.LocalProtocolError():
            return "the token holds what no token has: set HF_TOKEN anew"
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError():
            return (
                f"the Hub at {_endpoint()} cannot be reached, and "
                f"{_not_cached(repo_id, revision)}: check the network and the proxy, or export a "
                "folder"
            )
        case httpx2.UnsupportedProtocol():
            return f"HF_ENDPOINT {_endpoint()!r} does not begin with http:// or https://"
        case httpx2.TransportError():
            return (
                f"the Hub at {_endpoint()} does not answer, or no longer: export {repo_id} "
                "again; files that have come whole are kept"
            )
    return f"what answers at {_endpoint()} is no Hub: check HF_ENDPOINT and the proxy"


def _gated(repo_id: str) -> str:
    page = f"{_endpoint()}/{repo_id}"
    if get_token():
        return f"{repo_id} is gated, and the token's account has no access: ask for it on {page}"
    return (
        f"{repo_id} is gated: ask for access on {page}, then set HF_TOKEN to a token of that "
        "account"
    )


def _missing(repo_id: str) -> str:
    if get_token():
        return (
            f"{repo_id} is no folder here, and the Hub shows no such model to the token: check "
            "the name, or, if it is private, set HF_TOKEN to a token that may read it"
        )
    return (
        f"{repo_id} is no folder here, and the Hub shows no such model: check the name, or, if it "
        "is private, set HF_TOKEN to a token that may read it"
    )


def _refused(error: HfHubHTTPError, repo_id: str) -> str:
    status = _status(error)
    if status == UNAUTHORIZED and not get_token():
        return _missing(repo_id)
    if status == UNAUTHORIZED:
        return (
            f"{repo_id}: the Hub does not know the token; set HF_TOKEN to a valid one, or unset "
            "it for a public model"
        )
    if status == FORBIDDEN and get_token():
        return f"{repo_id}: the token may not read it; give it that right, or set HF_TOKEN anew"
    if status == FORBIDDEN:
        return f"{repo_id}: the Hub forbids it; set HF_TOKEN to a token that may read it"
    if status == TOO_MANY:
        more = "" if get_token() else ", or set HF_TOKEN, which raises the limit"
        return f"the Hub has had too many questions from here: try again {_when(error)}{more}"
    if status >= SERVER_ERROR:
        return f"the Hub fails by itself (status {status}): try again later"
    return (
        f"{_endpoint()} answers {status} when asked for {repo_id}: check the name and HF_ENDPOINT"
    )


def _when(error: HfHubHTTPError) -> str:
    headers = error.response.headers
    limit = parse_ratelimit_headers(headers)
    seconds = str(limit.reset_in_seconds) if limit else headers.get("Retry-After", "")
    return f"in {seconds} seconds" if seconds.isdecimal() else "later"


def _not_cached(repo_id: str, revision: str | None) -> str:
    asked = f"{repo_id} at {revision}" if revision else repo_id
    return f"no download of {asked} in {constants.HF_HUB_CACHE} is known to be whole"


def _endpoint() -> str:
    """The address of the Hub, without the password that one of a mirror can hold."""
    return re.sub("//[^/]*@", "//", constants.ENDPOINT)


def _status(error: HfHubHTTPError) -> int:
    return error.response.status_code
