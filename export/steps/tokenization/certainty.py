"""Which tokens of a window are surely those of the whole text."""

from tokenizers import Tokenizer

from .edges import Edges, is_stable
from .pieces import Window
from .reading import End, Head, Tail
from .subwords import Subwords

# Windows that begin so much later must find the same pieces: equal pieces in a row fit only one.
SHIFTS = (1, 3)
SYNC_CHARACTERS = (192, 1024)  # in which they find one
LONG_PIECE = 512  # characters
# Repeated without end: their pieces must be the same wherever a window ends.
STRETCHES = ("1", "12345", "a", "aB", "中文", ".", "-=", "a1", "a.", "1,", "'s", "é", "\u0301")


class Certainty:
    """What is certain, for one tokenizer.

    is_possible  whether anything is
    """

    def __init__(self, tokenizer: Tokenizer, subwords: Subwords | None) -> None:
        """tokenizer: without a post-processor; subwords: what is known of its model."""
        self._tokenizer = tokenizer
        self._edges = Edges(tokenizer)
        self._guard = self._edges.guard
        self._subwords = subwords
        self.is_possible = all(is_stable(tokenizer, text, self._guard) for text in STRETCHES)

    def settled(self, window: Window, head: Head) -> int:
        """How many first tokens of a window on the head's text stay, whatever follows."""
        if head.is_whole or not window.ids:
            return len(window)
        sure = self._edges.sure_end(head)
        if self._edges.are_joined(head):
            # The blanks are one piece up to somewhere: as far as it is seen it may go on.
            return self._settled_within(window, min(window.at(sure), len(window) - 1))
        index = window.at(sure - self._guard + 1) - 1
        if index < 0:
            return 0
        if sure < len(head.text) or window.piece_end(index) < len(window):
            return window.piece_begin(index)
        return self._settled_within(window, index)

    def _settled_within(self, window: Window, index: int) -> int:
        """The same in the piece of a token, and before it."""
        begin = window.piece_begin(index)
        return begin + (self._subwords.settled(window.piece(begin)) if self._subwords else 0)

    def joined(self, window: Window, tail: Tail, wanted: int) -> int:
        """How many last tokens of a window on the tail's text stay, whatever comes before.

        wanted  tokens; if they do not stay, how many do may be told too low
        """
        if tail.is_whole:
            return len(window)
        begin = self._edges.sure_begin(tail) + self._guard
        for characters in SYNC_CHARACTERS:
            common = self._common_start(window, 0, begin, begin + characters)
            if common is not None:
                return len(window) - common
        index = window.at(begin)
        return self._joined_within(window, index, wanted) if index < len(window) else 0

    def _joined_within(self, window: Window, index: int, wanted: int) -> int:
        """The same if the first of them lies in the piece of a token, at it or after it."""
        begin, end = window.piece_begin(index), window.piece_end(index)
        if not self._is_common(window, end):
            return 0
        after = len(window) - end
        if self._subwords is None or after >= wanted:
            return after
        piece = window.piece(begin)
        position = piece.ends[index - begin - 1] if index > begin else 0
        return after + self._subwords.joined(piece, position, wanted - after)

    def holds(self, window: Window, end: End, tokens: range) -> bool:
        """Whether some tokens of a window on the end's text are certain."""
        if isinstance(end, Head):
            return self.settled(window, end) >= tokens.stop
        wanted = len(window) - tokens.start
        return isinstance(end, Tail) and self.joined(window, end, wanted) >= wanted

    def restart(self, window: Window, character: int) -> int:
        """Where a window could begin instead, at or before a character: with a piece.

        Within a long piece with a token, since neighbouring tokens are what they are alone.
        """
        index = max(0, window.at(character + 1) - 1)
        begin = window.start(window.piece_begin(index))
        if character - begin > LONG_PIECE and self._subwords:
            return window.start(index)
        return begin

    def _common_start(self, window: Window, origin: int, begin: int, end: int) -> int | None:
        """The first token that begins a piece, here and in windows that begin after an origin."""
        pieces = window.pieces(begin, end)
        for shift in SHIFTS:
            start = origin + shift
            shifted = Window(self._tokenizer, window.text[start : end + self._guard])
            others = shifted.pieces(begin - start, end - start)
            pieces = {place: index for place, index in pieces.items() if place - start in others}
        return min(pieces.values(), default=None)

    def _is_common(self, window: Window, index: int) -> bool:
        """Whether a token begins a piece in windows that begin shortly before it too."""
        if index == len(window):
            return True
        start = window.start(index)
        origin = max(0, start - SYNC_CHARACTERS[0])
        return self._common_start(window, origin, start, start + 1) is not None
