"""Where keys come from: the environment and a file, joined at start and whenever that changes."""

from pathlib import Path

from gateway.access.key_file import read_keys_of
from gateway.access.keys import Key, Keys, unnamed_key
from gateway.api_keys import InvalidKey, is_toml
from gateway.settings import PREFIX, Settings, SettingsError

_FILE_VARIABLE = f"{PREFIX}API_KEYS_FILE"


def open_keys(settings: Settings) -> Keys:
    """The keys that the settings name.

    Raises: SettingsError, without the path of a file: it may be a key in the wrong variable.
    """
    try:
        keys = read_keys(settings)
    except InvalidKey as error:
        raise SettingsError(f"{_FILE_VARIABLE}: {error}") from error
    except OSError as error:
        raise SettingsError(f"{_FILE_VARIABLE}: it cannot be read: {error.strerror}") from error
    if settings.auth == "required" and not keys:
        raise SettingsError(f"no API key is configured: {_FILE_VARIABLE} says keys = []")
    return Keys(keys)


def read_keys(settings: Settings) -> list[Key]:
    """The keys of the environment and those of the file.

    Raises: InvalidKey, OSError.
    """
    keys = {digest: unnamed_key(digest) for digest in settings.api_keys}
    if not settings.api_keys_file:
        return list(keys.values())
    path = Path(settings.api_keys_file)
    for key in read_keys_of(path):
        if key.digest in keys and is_toml(path):
            raise InvalidKey(
                f"{key.name} is in {PREFIX}API_KEYS too, which knows no limits: remove one of them"
            )
        keys[key.digest] = key
    return list(keys.values())
