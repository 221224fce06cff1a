"""The best path of a Unigram model through a text, to the last bit as tokenizers finds it."""

from collections.abc import Mapping
from math import inf

UNKNOWN_PENALTY = 10.0  # of an unknown character, below the worst token; as tokenizers has it
# Scores are added up from the beginning of a piece, as float64. 31 MB of unknown characters come
# to -6e8, where neighbouring floats are 1.2e-7 apart, and two paths to one place differ in less
# than 1000 tokens.
DOUBT = 1e-4


class Lattice:
    """All ways to cut a text into tokens, each with the sum of its tokens' scores."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        """scores: token → logarithm of its probability."""
        self.scores = scores
        self.unknown = min(scores.values()) - UNKNOWN_PENALTY
        self._reach: dict[str, int] = {}  # last character → characters of the longest token
        for token in scores:
            self._reach[token[-1:]] = max(len(token), self.reach(token[-1:]))

    def reach(self, characters: str) -> int:
        """Characters of the longest token that ends with one of these."""
        return max((self._reach.get(character, 1) for character in characters), default=1)

    def best_path(self, text: str, begin: int) -> tuple[list[tuple[int, int]], int]:
        """The best path from a position to the end, as starts and ends of tokens.

        returns  the path, unknown characters next to each other as one token, and the last place
                 on it where another way was as good but for DOUBT: what the path has after that
                 is right whatever stands before `begin`
        """
        sums, starts, leads = [0.0] * (begin + 1), [begin] * (begin + 1), [inf] * (begin + 1)
        for end in range(begin + 1, len(text) + 1):
            best, start, second = self.best_arc(text, begin, end, sums)
            sums.append(best)
            starts.append(start)
            leads.append(best - second)
        path: list[tuple[int, int]] = []
        end, doubt, was_unknown = len(text), begin, False
        while end > begin:
            start = starts[end]
            if doubt == begin and leads[end] < DOUBT:
                doubt = end
            is_unknown = text[start:end] not in self.scores
            if is_unknown and was_unknown:
                path[-1] = (start, path[-1][1])
            else:
                path.append((start, end))
            end, was_unknown = start, is_unknown
        return path[::-1], doubt

    def best_arc(
        self, text: str, begin: int, end: int, sums: list[float]
    ) -> tuple[float, int, float]:
        """The best sum at an end, where its last token starts, and the second best sum.

        sums  of the best paths from `begin` to every place before the end
        """
        best = second = -inf
        start_of_best = begin
        for start in range(max(begin, end - self._reach.get(text[end - 1], 1)), end):
            score = self.scores.get(text[start:end])
            if score is None:
                if start < end - 1:
                    continue
                score = self.unknown
            score += sums[start]
            if score > best:
                best, second, start_of_best = score, best, start
            elif score > second:
                second = score
        return best, start_of_best, second
