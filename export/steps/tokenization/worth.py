"""Whether looking segments up is worth it of late, or most of them are never seen again."""

MOST_MISSES = 0.5  # share of the segments: what is missed costs about twice what it costs in a text
JUDGED_SEGMENTS = 1024  # at once: some twenty paragraphs
REST_BYTES, LONGEST_REST_BYTES = 2**14, 2**20  # of texts before it is tried again


class Worth:
    """What lookups found, and a rest after too many misses, the longer the oftener.

    Threads may share it: a number that is lost between two of them is of no consequence.
    """

    def __init__(self, most_misses: float = MOST_MISSES) -> None:
        """most_misses: of all segments."""
        self._most_misses = most_misses
        self._segments = self._misses = 0
        self._rest = 0  # bytes of texts that go by yet
        self._next_rest = REST_BYTES

    def is_given(self, size: int) -> bool:
        """Whether to look up the segments of texts of so many bytes."""
        if self._rest <= 0:
            return True
        self._rest -= size
        return False

    def learn(self, segments: int, misses: int) -> None:
        """How many segments were looked up, and how many of them nobody knew."""
        self._segments += segments
        self._misses += misses
        if self._segments < JUDGED_SEGMENTS:
            return
        if self._misses > self._most_misses * self._segments:
            self._rest = self._next_rest
            self._next_rest = min(2 * self._next_rest, LONGEST_REST_BYTES)
        else:
            self._next_rest = REST_BYTES
        self._segments = self._misses = 0
