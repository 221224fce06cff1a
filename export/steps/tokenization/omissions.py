"""What of a long text may be left out: the tokens of the rest are the same without it."""

import string
from collections.abc import Sequence
from itertools import takewhile

from tokenizers import Tokenizer, models

from .marks import is_mark, sorts_marks
from .pieces import Window
from .reading import End

LETTERS = string.ascii_letters + string.digits
NO_BLANK = "a"


class Omissions:
    """What may be left out, for one tokenizer.

    forgets  whether the beginning of a piece is without influence on what is far from it: not so
             where scores are added up
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.forgets = not isinstance(tokenizer.model, models.Unigram)
        self._tokenizer = tokenizer
        self._sorts_marks = sorts_marks(tokenizer)
        self._longest_word = _longest_word(tokenizer)

    def inert(self, before: str, middle: str, after: str) -> int | None:
        """0 if the middle changes nothing: blanks, the inside of a word too long to be known."""
        if 0 < self._longest_word <= len(before):
            word = before[-self._longest_word :] + middle
            if word.isascii() and word.isalnum():
                return 0
        return 0 if self.removable(before, middle, after) == 0 else None

    def removable(self, before: str, middle: str, after: str) -> int | None:
        """The tokens that the middle adds, if the others are the same without it.

        Whatever lies beyond blanks: those at an end of a text can be taken away.
        """
        found = {
            self._added(begin + before, middle, after + end)
            for begin in self._beyond(before)
            for end in self._beyond(after)
        }
        added = found.pop()
        if found or (added and self._sorts_marks and any(map(is_mark, middle))):
            return None  # marks go to other places than they come from
        return added

    def _added(self, before: str, middle: str, after: str) -> int | None:
        """The same of a text that is nothing but these."""
        texts = [before + middle + after, before + after]
        encodings = self._tokenizer.encode_batch_fast(texts)
        whole, rest = (encoding.ids for encoding in encodings)
        pairs = zip(whole, rest, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        added = len(whole) - len(rest)
        return added if added >= 0 and whole[same + added :] == rest[same:] else None

    def _beyond(self, context: str) -> Sequence[str]:
        """What may lie beyond a context on either side, as far as that matters."""
        if self._tokenizer.normalizer is None:
            return ("",)
        normal = self._tokenizer.normalizer.normalize_str
        within = normal(f"{NO_BLANK}{context}{NO_BLANK}")
        is_last = normal(f"{NO_BLANK}{context}") + NO_BLANK
        is_first = NO_BLANK + normal(f"{context}{NO_BLANK}")
        return ("",) if is_first == within == is_last else ("", NO_BLANK)

    def bears_gaps(self, window: Window, end: End) -> bool:
        """Whether what was left out of the end's text has no influence on the window's tokens.

        Without a part of a piece the sums of scores in the rest of it would be others.
        """
        return self.forgets or not any(_is_in_piece(window, gap) for gap in end.gaps)


def _is_in_piece(window: Window, gap: int) -> bool:
    """Whether a gap lies in a token that more of the same piece follows."""
    index = window.at(gap + 1) - 1
    return index >= 0 and window.end(index) > gap and window.piece_end(index) > index + 1


def _longest_word(tokenizer: Tokenizer) -> int:
    """Letters and digits above which any word of them is one and the same token; 0 for none."""
    model = tokenizer.model
    if not isinstance(model, models.WordPiece):
        return 0
    if any(token.content.isalnum() for token in tokenizer.get_added_tokens_decoder().values()):
        return 0
    longest = model.max_input_chars_per_word + 1
    word = LETTERS * (longest // len(LETTERS) + 1)
    return longest if len(tokenizer.encode(word)) == 1 else 0
