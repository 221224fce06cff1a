"""Where a text may be cut at blanks, so that the ids of its segments are those of the whole.

Read from a tokenizer's own description: only structures are allowed of which it is known that
nothing reaches across such a blank. What the structure does not tell, `neighbours` does of each
segment.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

BLANK = "▁"  # what stands for a blank in vocabularies
A_CUT = re.compile(r"(?<!\s) (?!\s)")
A_BYTES_CUT = re.compile(rb"(?<=\S) (?=\S)")

# Of one character at a time, or of neighbours that no blank parts.
LOCAL = {
    "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled",
    "StripAccents",
}  # fmt: skip
REGEXES = {" {2,}", r"\s+"}  # that a Replace may look for: one blank between words stays one
# Words are found first, so blanks leave no trace.
WORDS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
WITHIN_WORDS = {"Digits", "Punctuation"}
# Of GPT-2, GPT-4, Llama 3, Qwen 2 and GPT-4o, as their tokenizer.json have them. A match goes from
# left to right and never on over a blank behind anything but white space.
_LETTERS, _END = r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_PUNCTUATION = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SPLITS = {
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    f"{_CONTRACTIONS}|{_LETTERS}|\\p{{N}}{{1,3}}|{_PUNCTUATION}|{_END}",
    f"{_CONTRACTIONS}|{_LETTERS}|\\p{{N}}|{_PUNCTUATION}|{_END}",
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|"
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTIONS}?|"
    rf"\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_END}",
}


class Uncut(Exception):
    """A tokenizer that is not known to bear cuts; the message says why."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """How the texts of one tokenizer are cut.

    A segment's bytes are its own, but for the first of a text: where that is not tokenized as
    others are, a blank is put before it.

    drops_blanks  whether it drops all blanks, so that any may be cut at; else only one that
                  stands alone between two characters that are no white space
    lead          what to put before a segment that is not the first of its text: "" or a blank
    has_edges     whether the characters on both sides of a cut matter
    """

    drops_blanks: bool
    lead: str
    has_edges: bool

    def segments(self, text: bytes, is_whole: bool = True) -> list[bytes]:
        """Of a text in UTF-8; wrong if one of them is not plain.

        is_whole  or it begins after a cut
        """
        segments = text.split(b" ")
        if is_whole and self.lead:
            segments[0] = b" " + segments[0]
        return segments

    def careful_segments(self, text: bytes, is_whole: bool = True) -> list[bytes]:
        """The same whatever blanks there are."""
        segments = text.split(b" ") if self.drops_blanks else A_BYTES_CUT.split(text)
        if is_whole and self.lead:
            segments[0] = b" " + segments[0]
        return segments

    def first_cut(self, text: bytes, start: int, stop: int) -> int:
        """The first blank to cut at between two places, after the first of them; -1 for none."""
        place = text.find(b" ", start + 1, stop)
        while place != -1 and not self._is_cut(text, place):
            place = text.find(b" ", place + 1, stop)
        return place

    def last_cut(self, text: bytes, start: int, stop: int) -> int:
        """The last one."""
        place = text.rfind(b" ", start + 1, stop)
        while place != -1 and not self._is_cut(text, place):
            place = text.rfind(b" ", start + 1, place)
        return place

    def _is_cut(self, text: bytes, place: int) -> bool:
        return self.drops_blanks or A_BYTES_CUT.match(text, place) is not None

    def is_first(self, segment: bytes) -> bool:
        """Whether a blank was put before it."""
        return bool(self.lead) and segment[:1] == b" "

    def is_inner(self, segment: bytes) -> bool:
        """Whether it may stand between any others, and not only at an end of a text."""
        return self.drops_blanks or bool(segment and segment.strip() == segment)

    def is_plain(self, segment: bytes) -> bool:
        """Whether it has no odd blanks, and so is what it is wherever it is found."""
        return self.is_inner(segment[1:] if self.is_first(segment) else segment)


def cuts_of(tokenizer: Tokenizer) -> Cuts:
    """How its texts are cut.

    Raises: Uncut.
    """
    said = json.loads(tokenizer.to_str())
    normalizers = list(_flat(said["normalizer"], "normalizers"))
    pre_tokenizers = list(_flat(said["pre_tokenizer"], "pretokenizers"))
    cuts = _of_words(normalizers, pre_tokenizers)
    if cuts is None:
        cuts = _of_blanks(normalizers, pre_tokenizers, said["model"])
    if said["model"].get("dropout"):
        raise Uncut("its model drops merges at random")
    _check_added(tokenizer, cuts)
    return cuts


def _flat(said: dict[str, Any] | None, key: str) -> Iterator[dict[str, Any]]:
    """A normalizer or a pre-tokenizer as a list of those that are none of lists."""
    if said is not None and said["type"] == "Sequence":
        for part in said[key]:
            yield from _flat(part, key)
    elif said is not None:
        yield said


def _of_words(
    normalizers: list[dict[str, Any]], pre_tokenizers: list[dict[str, Any]]
) -> Cuts | None:
    """Where words come first; None where they do not."""
    if not pre_tokenizers or pre_tokenizers[0]["type"] not in WORDS:
        return None
    for said in pre_tokenizers[1:]:
        if said["type"] not in WORDS | WITHIN_WORDS and not _prepends_always(said):
            raise Uncut(f"its pre-tokenizer {said['type']} may look beyond words")
    for said in normalizers:
        if said["type"] not in LOCAL | {"Strip"} and not _replaces_within_words(said):
            raise Uncut(f"its normalizer {said['type']} may look beyond words")
    return Cuts(True, "", any(said["type"] == "Precompiled" for said in normalizers))


def _of_blanks(
    normalizers: list[dict[str, Any]], pre_tokenizers: list[dict[str, Any]], model: dict[str, Any]
) -> Cuts:
    """Where a blank belongs to the word after it."""
    prepends = [said for said in normalizers if said["type"] == "Prepend"]
    strips = any(said["type"] == "Strip" for said in normalizers)
    if not all(map(_keeps_lone_blanks, normalizers)) or prepends[1:]:
        raise Uncut("its normalizers may look beyond words")
    lead = _lead(pre_tokenizers)
    if lead is None:
        _check_one_piece(normalizers, pre_tokenizers, model)
        lead = "" if prepends else " "
    elif prepends:
        raise Uncut("it puts something before texts twice")
    if strips and lead:
        raise Uncut("it strips blanks that would stand before words")
    return Cuts(False, lead, True)


def _keeps_lone_blanks(said: dict[str, Any]) -> bool:
    """Whether a normalizer leaves one blank between words what it is, whatever they are."""
    if said["type"] != "Replace":
        return said["type"] in LOCAL | {"Strip"} or said == {"type": "Prepend", "prepend": BLANK}
    if "Regex" in said["pattern"]:
        return said["pattern"]["Regex"] in REGEXES
    return _replaces_blanks(said) or not re.search(r"\s", said["pattern"]["String"])


def _replaces_within_words(said: dict[str, Any]) -> bool:
    """Whether a normalizer replaces blanks by a blank, or what has none."""
    if said["type"] != "Replace":
        return False
    if "Regex" in said["pattern"]:
        return said["pattern"]["Regex"] in REGEXES and said["content"] == " "
    return not re.search(r"\s", said["pattern"]["String"])


def _replaces_blanks(said: dict[str, Any]) -> bool:
    return said == {"type": "Replace", "pattern": {"String": " "}, "content": BLANK}


def _lead(pre_tokenizers: list[dict[str, Any]]) -> str | None:
    """What stands before a word that is not the first; None if nothing parts words.

    Raises: Uncut.
    """
    kinds = [said["type"] for said in pre_tokenizers]
    last = pre_tokenizers[-1] if pre_tokenizers else {}
    if kinds == ["ByteLevel"] and last["use_regex"]:
        return "" if last["add_prefix_space"] else " "
    if kinds == ["Split", "ByteLevel"] and not (last["use_regex"] or last["add_prefix_space"]):
        split = pre_tokenizers[0]
        is_known = split["pattern"].get("Regex") in SPLITS
        if is_known and split["behavior"] == "Isolated" and not split["invert"]:
            return " "
        raise Uncut("its pre-tokenizer splits by an expression that is not known to be local")
    if kinds == ["Metaspace"] and last["replacement"] == BLANK and last["split"]:
        return "" if last["prepend_scheme"] == "always" else " "
    if not kinds or (kinds == ["Split"] and last["pattern"] == {"String": " "}):
        return None
    raise Uncut(f"its pre-tokenizer {', '.join(kinds)} is not known to be local")


def _prepends_always(said: dict[str, Any]) -> bool:
    return said["type"] == "Metaspace" and said["prepend_scheme"] == "always"


def _check_one_piece(
    normalizers: list[dict[str, Any]], pre_tokenizers: list[dict[str, Any]], model: dict[str, Any]
) -> None:
    """Of a model that sees whole texts: no token may reach over the beginning of a word.

    Raises: Uncut.
    """
    if not normalizers or not _replaces_blanks(normalizers[-1]):
        raise Uncut("nothing parts its words")
    if model["type"] != "BPE" or model["ignore_merges"] or BLANK not in model["vocab"]:
        raise Uncut("its model sees whole texts")
    within = re.compile(f"[^{BLANK}]{BLANK}")
    if any(within.search(token) for token in model["vocab"]):
        raise Uncut("a token of its vocabulary reaches from one word into the next")


def _check_added(tokenizer: Tokenizer, cuts: Cuts) -> None:
    """Raises: Uncut if a cut could go through an added token."""
    normal = tokenizer.normalizer.normalize_str if tokenizer.normalizer else str
    for token in tokenizer.get_added_tokens_decoder().values():
        forms = [token.content]
        if token.normalized:
            forms.append(normal(token.content).replace(BLANK, " "))
        if any(" " in form if cuts.drops_blanks else A_CUT.search(form) for form in forms):
            raise Uncut(f"its added token {token.content!r} has a blank within")
