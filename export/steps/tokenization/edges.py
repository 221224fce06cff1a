"""How far what is not read yet reaches into what is read.

Added tokens are found first, and some swallow the blanks around them. Normalization is local, but
for marks that it sorts. Pieces are found from left to right, looking a few characters ahead, or to
the end of blanks.
"""

from tokenizers import AddedToken, Tokenizer

from .marks import bears_mark, is_mark, sorts_marks
from .pieces import Window
from .reading import Head, Tail

GUARD_CHARACTERS = 32  # that pieces look ahead, blanks aside; `'re` and three digits need few
BLANKS = ("\n", "\r\n", "\t", " \n", "\n  ", "\n" + 300 * " ")


class Edges:
    """What is sure near the end and near the beginning of a window, for one tokenizer.

    guard  characters before or after what is sure that may still make other pieces
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        added = list(tokenizer.get_added_tokens_decoder().values())
        self.guard = GUARD_CHARACTERS + max((len(token.content) for token in added), default=0)
        self._joins_blanks = not all(is_stable(tokenizer, blanks, self.guard) for blanks in BLANKS)
        self._sorts_marks = sorts_marks(tokenizer)
        self._swallowing = tuple(_beginning(token) for token in added if token.lstrip)
        self._swallows_after = any(token.rstrip for token in added)

    def sure_end(self, head: Head) -> int:
        """Characters of the head's text that what follows does not reach."""
        text = head.text
        if self._sorts_marks and is_mark(head.further()[:1]):
            return _end_of_marks(head)
        if self._are_swallowed(head) or self.are_joined(head):
            return len(text.rstrip())
        return len(text)

    def sure_begin(self, tail: Tail) -> int:
        """Characters of the tail's text that what comes before can reach."""
        text = tail.text
        begin = _begin_of_marks(tail) if self._sorts_marks and is_mark(text[:1]) else 0
        if self._swallows_after:
            begin = max(begin, len(text) - len(text.lstrip()))
        return begin

    def are_joined(self, head: Head) -> bool:
        """Whether blanks at the end of the head's text can be one piece with blanks after them."""
        blanks = head.text[len(head.text.rstrip()) :]
        if not self._joins_blanks or not blanks or self._are_swallowed(head):
            return False
        return bool(blanks.strip(blanks[-1]) or head.beyond(blanks[-1])[:1].isspace())

    def _are_swallowed(self, head: Head) -> bool:
        """Whether blanks at the end of the head's text belong to an added token after them."""
        if not self._swallowing or not head.text[-1:].isspace():
            return False
        return head.beyond_blanks().startswith(self._swallowing)


def is_stable(tokenizer: Tokenizer, stretch: str, guard: int) -> bool:
    """Whether pieces at the beginning of a stretch that repeats stay when it ends earlier."""
    text = stretch * (3 * guard // len(stretch) + 2)
    pieces = Window(tokenizer, text).pieces(0, guard)
    return all(
        Window(tokenizer, text[:cut]).pieces(0, guard) == pieces
        for cut in range(2 * guard, 2 * guard + 4)
    )


def _beginning(token: AddedToken) -> str:
    """What a text begins with where the token stands; nothing if its normal form is looked for."""
    return "" if token.normalized else token.content


def _end_of_marks(head: Head) -> int:
    """Characters that stay although the head's text ends before a mark."""
    text, mark = head.text, head.further()[0]
    if not bears_mark(text.rstrip(mark)[-1:]) and not is_mark(head.beyond(mark)[:1]):
        return len(text)  # all the same mark: there is no order to bring them into
    return max((i for i, character in enumerate(text) if not is_mark(character)), default=0)


def _begin_of_marks(tail: Tail) -> int:
    """Characters that may not stay as the tail's text begins with a mark."""
    text, mark = tail.text, tail.text[0]
    if not is_mark(text.lstrip(mark)[:1]) and not bears_mark(tail.beyond(mark)[-1:]):
        return 0
    return next((i for i, character in enumerate(text) if not is_mark(character)), len(text))
