"""The first ids, the last ids, or the number of ids of a text, without tokenizing all of it."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

from .certainty import Certainty
from .folding import Folding
from .omissions import Omissions
from .pieces import Window
from .reading import BLOCK_BYTES, CONTEXT_BYTES, PART_BYTES, End, Head, Removable, Slices, Tail
from .subwords import Unigram, subwords_of

MARGIN_BYTES = 96  # beyond what should be enough
SLICE_BYTES = 8192  # of a text whose tokens are counted: some 2 ms, of dots 5
LONG_BYTES = 65536  # more takes longer than a slice should
UNSURE_TOKENS = 8  # at an end of a window
# Characters a token, above which a text is more than long tokens: no vocabulary that we know of
# has any above 128.
SPARSE = 256
SPARSE_CHARACTERS = 1024
# Times the tokens that are asked for: what is uncertain then is so to the end, or to the end of a
# piece where two ways to cut it are equally good.
HOPELESS, HOPELESS_TIES, FEW_TOKENS = 64, 2, 128
CONTEXTS = (256, 1024)  # characters before a joint that are tokenized again


@dataclass(frozen=True, slots=True)
class Joint:
    """A place between two tokens.

    start  of the token after it, in characters of a window
    token  before it: its id, start and end; None at the beginning of a text
    """

    start: int
    token: tuple[int, int, int] | None

    def shifted(self, characters: int) -> Joint:
        """The same in a window that begins so much later."""
        assert self.token is not None
        id, start, end = self.token
        return Joint(self.start - characters, (id, start - characters, end - characters))

    def find(self, window: Window) -> int | None:
        """The token after it, if the window has the one before it too."""
        if self.token is None:
            return 0
        index = window.at(self.start)
        return index if index and window.token(index - 1) == self.token else None


class Windows:
    """Parts of a text, encoded one after the other; each step is a slice of work."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """tokenizer: without a post-processor."""
        subwords = subwords_of(tokenizer)
        self._tokenizer = tokenizer
        self._certainty = Certainty(tokenizer, subwords)
        self._omissions = Omissions(tokenizer)
        self._folding = None
        if isinstance(subwords, Unigram) and subwords.spells:
            self._folding = Folding(tokenizer, self._certainty, subwords.lattice)

    @property
    def are_possible(self) -> bool:
        """Whether the tokenizer gives the same pieces in windows as in whole texts."""
        return self._certainty.is_possible

    def first(self, data: bytes, count: int) -> Slices[list[int]]:
        """The first ids of a text in UTF-8, at most `count`."""
        head = Head(data)
        head.grow(count + MARGIN_BYTES)
        while True:
            window = Window(self._tokenizer, head.text)
            enough = len(window) >= count
            if head.is_whole or (enough and self._certainty.settled(window, head) >= count):
                break
            if self._is_hopeless(window, count):
                ids = (yield from self._folding.first(head, count)) if self._folding else None
                return (ids or (yield from self._whole(data)))[:count]
            yield from self._skip_inert(window, head)
            yield from _grow(window, head, count)
        if not self._omissions.bears_gaps(window, head):
            return (yield from self._whole(data))[:count]
        return window.ids[:count]

    def last(self, data: bytes, count: int) -> Slices[list[int]]:
        """The last ids of a text in UTF-8, at most `count`."""
        tail = Tail(data)
        tail.grow(count + MARGIN_BYTES)
        while True:
            window = Window(self._tokenizer, tail.text)
            enough = len(window) >= count
            if tail.is_whole or (enough and self._certainty.joined(window, tail, count) >= count):
                break
            if self._is_hopeless(window, count):
                ids = (yield from self._folding.last(tail, count)) if self._folding else None
                return _last(ids or (yield from self._whole(data)), count)
            yield from self._skip_inert(window, tail)
            if enough and self._omissions.forgets:
                period = window.period(UNSURE_TOKENS)
                yield from _skip_repeated(tail, self._omissions.removable, period)
            yield from _grow(window, tail, count)
        if not self._omissions.bears_gaps(window, tail):
            return _last((yield from self._whole(data)), count)
        return _last(window.ids, count)

    def count(self, data: bytes, slice_bytes: int = SLICE_BYTES) -> Slices[int]:
        """How many ids a text in UTF-8 has."""
        head, counted, joint = Head(data), 0, Joint(0, None)
        head.grow(slice_bytes)
        while True:
            window = Window(self._tokenizer, head.text)
            first = joint.find(window)
            if first is None:  # never seen
                return len((yield from self._whole(data)))
            if head.is_whole:
                return counted + len(window) - first
            yield False
            last = self._certainty.settled(window, head)
            while last > first and window.start(last) < window.end(last - 1):
                last -= 1  # tokens of one character: no text ends between them
            if last > first:
                counted += last - first
                joint = self._drop(head, window, last)
            else:
                yield from self._skip_inert(window, head)
            # Twice as much where nothing could be dropped, or the whole would be quadratic.
            size = max(slice_bytes, len(head.text.encode()))
            yield size > LONG_BYTES
            head.grow(size)

    def _drop(self, head: Head, window: Window, index: int) -> Joint:
        """Forgets as much of the head's text as is not needed to find a token again; its joint."""
        joint = Joint(window.start(index), window.token(index - 1))
        for context in CONTEXTS:
            start = self._certainty.restart(window, joint.start - context)
            shorter = joint.shifted(start)
            text = head.text[start : joint.start + MARGIN_BYTES]
            if start and shorter.find(Window(self._tokenizer, text)) is not None:
                head.drop(start)
                return shorter
        return joint

    def _skip_inert(self, window: Window, end: End) -> Slices[None]:
        """Leaves out what would be read next if it gives no tokens, as what was read last."""
        if len(window.text) <= max(SPARSE_CHARACTERS, SPARSE * len(window)):
            return
        inert, gaps = self._omissions.inert, len(end.gaps)
        yield from end.skip(inert, CONTEXT_BYTES, times=1)
        if len(end.gaps) > gaps:
            yield from end.skip(inert, BLOCK_BYTES)
            yield from end.skip(inert, PART_BYTES)

    def _is_hopeless(self, window: Window, count: int) -> bool:
        """Whether more text would hardly make certain what is not yet."""
        times = HOPELESS if self._omissions.forgets else HOPELESS_TIES
        return len(window) >= times * max(count, FEW_TOKENS)

    def _whole(self, data: bytes) -> Slices[list[int]]:
        """All ids of a text."""
        yield True
        return self._tokenizer.encode_batch_fast([data.decode()])[0].ids


def _skip_repeated(end: End, removable: Removable, period: int) -> Slices[None]:
    """Leaves out what would be read next if it repeats itself.

    period  in bytes, 0 for none
    """
    if period:
        size = period * -(-CONTEXT_BYTES // period)  # at least a context
        yield from end.skip(removable, size)


def _grow(window: Window, end: End, count: int) -> Slices[None]:
    """Reads as much more as is likely to be enough: at most seven times what there is.

    Where there were enough tokens they were not certain, which takes more of them.
    """
    size = len(window.text.encode())
    missing = size
    if len(window) < count:
        enough = round(1.08 * size * count / max(1, len(window))) + MARGIN_BYTES
        missing = min(7 * size, enough - size)
    yield size + missing > LONG_BYTES
    end.grow(missing)


def _last(ids: list[int], count: int) -> list[int]:
    return ids[max(0, len(ids) - count) :]
