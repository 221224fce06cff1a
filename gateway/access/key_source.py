"""Where keys come from: the environment, and a file that is taken up again whenever it changes."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path

from gateway.access.key_file import parse_keys
from gateway.access.keys import Key, Keys, unnamed_key
from gateway.api_keys import InvalidKey, is_toml, read_text
from gateway.settings import PREFIX, Settings, SettingsError

# Between two looks at the file. It is taken up when two in a row find the same, so that no half of
# it is that somebody is still writing.
LOOK_SECONDS = 0.5

_VARIABLE = f"{PREFIX}API_KEYS_FILE"

logger = logging.getLogger(__name__)


class KeySource:
    """The keys that the settings name.

    keys       what is let in now
    is_valid   whether that is what the file says; True without a file
    loaded_at  unix seconds when it was taken up; 0 without a file

    Raises: SettingsError, without the path of the file: it may be a key in the wrong variable.
    """

    def __init__(self, settings: Settings) -> None:
        self._fixed = {digest: unnamed_key(digest) for digest in settings.api_keys}
        self._file = Path(settings.api_keys_file) if settings.api_keys_file else None
        self.keys = Keys(self._fixed.values())
        self.is_valid, self.loaded_at = True, 0.0
        # What the last look found, and what was dealt with: a fingerprint, or why there is none.
        self._found = self._settled = ""
        if self._file:
            self._open(self._file, needs_a_key=settings.auth == "required")

    def _open(self, file: Path, needs_a_key: bool) -> None:
        try:
            text = read_text(file)
            keys = self._join(file, text)
        except (InvalidKey, OSError) as error:
            raise SettingsError(f"{_VARIABLE}: {_reason(error)}") from error
        if needs_a_key and not keys:
            raise SettingsError(f"no API key is configured: {_VARIABLE} says keys = []")
        self._take_up(keys, _fingerprint(text))

    async def watch(
        self, served_models: Callable[[], Collection[str]], look_seconds: float = LOOK_SECONDS
    ) -> None:
        """Looks at the file for ever; a refused one is logged, and the keys before it go on.

        served_models  ids of all models, or none while they are not known
        """
        warned: set[tuple[str, str]] = set()
        while self._file:
            try:
                await asyncio.to_thread(self.look)
            except Exception:
                logger.exception("the key file could not be looked at, trying again")
            if served := served_models():
                unserved = set(self._unserved(served))
                for key, model in sorted(unserved - warned):
                    logger.warning("key %s is for the model %r, which is not served", key, model)
                warned = unserved
            await asyncio.sleep(look_seconds)

    def look(self) -> None:
        """Takes up the file if it was changed, and is whole, and can be used."""
        assert self._file is not None
        text = None
        try:
            text = read_text(self._file)
            found = _fingerprint(text)
        except (InvalidKey, OSError) as error:
            found = _reason(error)
        is_still, self._found = found == self._found, found
        if not is_still or found == self._settled:
            return
        self._settled = found
        try:
            if text is None:
                raise InvalidKey(found)
            keys = self._join(self._file, text)
        except InvalidKey as error:
            self.is_valid = False
            logger.warning("%s is refused, the keys before it go on: %s", _VARIABLE, error)
        else:
            self._take_up(keys, found)
            logger.info("%s is taken up: %d keys in all", _VARIABLE, len(keys))

    def _join(self, file: Path, text: str) -> list[Key]:
        """The keys of the environment and those of the file.

        Raises: InvalidKey.
        """
        keys = dict(self._fixed)
        for key in parse_keys(file, text):
            if key.digest in keys and is_toml(file):
                raise InvalidKey(
                    f"{key.name} is in {PREFIX}API_KEYS too, which knows no limits:"
                    " remove one of them"
                )
            keys[key.digest] = key
        return list(keys.values())

    def _take_up(self, keys: list[Key], fingerprint: str) -> None:
        self.keys.replace(keys)
        self._found = self._settled = fingerprint
        self.is_valid, self.loaded_at = True, time.time()

    def _unserved(self, served: Collection[str]) -> list[tuple[str, str]]:
        """Key and model, of models in lists of keys that do not exist: they may be misspelled."""
        return [
            (key.name, model)
            for key in self.keys
            for model in key.models or ()
            if model not in served
        ]


def _fingerprint(text: str) -> str:
    """Of the keys in it, which need not stay in memory."""
    return hashlib.sha256(text.encode()).hexdigest()


def _reason(error: InvalidKey | OSError) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror}"
    return str(error)
