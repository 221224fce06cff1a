"""Which segments have the same ids alone, where the structure of a tokenizer leaves doubt."""

import json
import unicodedata

from tokenizers import Tokenizer

from .cuts import BLANK, Uncut

BETWEEN = ("a", "b")  # letters to try a normalizer with
# Letters that Unicode joins to what comes after them, blanks too.
JOINING = frozenset(
    "\u0d4e\U000111c2\U000111c3\U000113d1\U0001193f\U00011941\U00011a3a\U00011f02\U00011d46"
    + "".join(map(chr, range(0x11A84, 0x11A8A)))
)


class AddedTokens:
    """What is found in texts before a model sees them.

    ids      that tell that something was found
    unknown  what stands for all that the model does not know; "" if texts are not searched for it
    unknown_id  its id, -1 for none
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises: Uncut."""
        added = tokenizer.get_added_tokens_decoder()
        # Runs of blanks are never cut.
        self.ids = {
            id
            for id, token in added.items()
            if not token.content.isspace() or token.lstrip or token.rstrip or token.single_word
        }
        self.unknown, self.unknown_id = "", -1
        token = _unknown_token(tokenizer)
        id = None if token is None else tokenizer.token_to_id(token)
        if token is None or id is None:
            return
        self.unknown_id = id
        if id in self.ids:
            said = added[id]
            if said.normalized or said.lstrip or said.rstrip or said.single_word:
                raise Uncut("what stands for the unknown may stand in a text in several forms")
            self.ids.remove(id)
            self.unknown = token


def _unknown_token(tokenizer: Tokenizer) -> str | None:
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] != "Unigram":
        token: str | None = model.get("unk_token")
        return token
    return None if model["unk_id"] is None else str(model["vocab"][model["unk_id"]][0])


class Edges:
    """Characters that may stand beside a cut, for one normalizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises: Uncut."""
        self._normal = tokenizer.normalizer.normalize_str if tokenizer.normalizer else str
        a, b = BETWEEN
        parts: list[str] = self._normal(f"{a} {b} {a}").split(b)
        if len(parts) != 2:
            raise Uncut("its normalizer changes letters")
        self._before, self._after = parts
        self._known: set[str] = set()

    def are_safe(self, segment: str) -> bool:
        """Whether a segment stays what it is beside cuts; blanks at its ends are beside none."""
        inner = segment.strip(" \t\n\r\v\f")
        return not inner or (self._is_safe(inner[0]) and self._is_safe(inner[-1]))

    def _is_safe(self, character: str) -> bool:
        if character in self._known:
            return True
        is_safe = self._find(character)
        if is_safe:
            self._known.add(character)  # of 1.1 million code points most are not safe
        return is_safe

    def _find(self, character: str) -> bool:
        """Whether it gives itself and nothing else, blanks aside."""
        if unicodedata.category(character)[0] in "CMZ" or character in JOINING:
            return False
        a = BETWEEN[0]
        normal = self._normal(f"{a} {character} {a}")
        inner = normal[len(self._before) : len(normal) - len(self._after)]
        if f"{self._before}{inner}{self._after}" != normal:
            return False
        return bool(inner) and inner.strip(f"{BLANK} \t\n\r\v\f") == inner == inner.strip()
