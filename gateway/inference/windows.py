"""How much a Triton has at a time of a model, what it has to do, and who may go to it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple, TypeAlias

_turns = count(1)


@dataclass(frozen=True, slots=True)
class Windows:
    """Estimated tokens: how many a Triton has at a time of each lane, and which calls take which.

    small_call  up to which a whole call is interactive
    """

    bulk: int = 2048
    interactive: int = 1024
    small_call: int = 512

    def fit(self, micro_batch_tokens: int) -> "Windows":
        """The same, wide enough for an encoder that takes so many tokens at a time.

        Of bulk one micro-batch for each of two workers and as many that wait, which a GPU must not
        be without for a moment; the windows of a CPU have always been wider than that.
        """
        return replace(
            self,
            bulk=max(self.bulk, 4 * micro_batch_tokens),
            interactive=max(self.interactive, 2 * micro_batch_tokens),
        )


@dataclass(slots=True)
class Load:
    """What one Triton has to do, over all its windows.

    tokens  estimated, handed over and unanswered
    turn    when it was chosen last: of two with nothing to do the other one is next
    """

    name: str = ""
    tokens: int = 0
    turn: int = 0


@dataclass(slots=True, eq=False)
class Window:
    """Tokens in flight of one lane at one Triton.

    size_tokens  estimated tokens handed over and unanswered; a chunk above it goes alone
    """

    size_tokens: int
    load: Load
    in_flight_tokens: int = 0

    @property
    def room_tokens(self) -> int:
        """Left for what comes next."""
        return max(self.size_tokens - self.in_flight_tokens, 0)

    def has_room(self, tokens: int) -> bool:
        in_flight = self.in_flight_tokens
        return not in_flight or in_flight + tokens <= self.size_tokens

    def is_freer(self, other: "Window") -> bool:
        """Whether its Triton has less to do; of two that have as little, the other's turn was."""
        one, two = self.load, other.load
        return (one.tokens, one.turn) < (two.tokens, two.turn)

    def take(self, tokens: int) -> None:
        self.in_flight_tokens += tokens
        self.load.tokens += tokens
        self.load.turn = next(_turns)

    def give_back(self, tokens: int) -> None:
        self.in_flight_tokens -= tokens
        self.load.tokens -= tokens


class Wish(NamedTuple):
    """Which Tritons a chunk may go to.

    edition  of the model; empty if any will do
    tried    names of those that it has been to
    """

    edition: str = ""
    tried: frozenset[str] = frozenset()


ANY = Wish()
# The windows among which a chunk may choose. Raises: UpstreamError if there are none.
FindWindows: TypeAlias = Callable[[Wish], Iterable[Window]]
