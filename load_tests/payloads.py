"""Seeded texts of a stated length distribution, no two alike; the same at every run.

Lengths are in words. Every word below is one token of the BERT vocabularies, so a text has as
many tokens as words, plus two special ones.
"""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

# fmt: off
WORDS = tuple(
    """the of and to in for with from that this which their there about would could should other
    water bread salt oven winter summer river mountain city village house kitchen garden street
    bridge market price value number letter paper book page story history science nature music
    picture colour light shadow morning evening night week month year century moment minute hour
    person family mother father brother sister child friend neighbor teacher student doctor worker
    farmer soldier president company office business industry product service customer contract
    money bank account budget cost profit trade export import growth demand supply energy
    power engine machine motor wheel train ship plane road station airport ticket travel journey
    computer program network server memory signal message language word sentence question answer
    problem solution method system structure model theory example result reason effect cause
    change increase decrease improve develop produce create build write read speak listen learn
    teach study think believe remember forget understand explain describe compare measure count
    large small long short high low early late young old new good better best bad strong weak
    fast slow hard soft warm cold dry wet clean dark bright heavy simple complex common special
    public private local national international political social economic legal medical natural
    human animal plant tree flower fruit forest field ocean island coast desert valley stone metal
    gold silver iron glass wood cotton leather wool silk because although before after during
    between against without within through across under over along around behind beside""".split()  # noqa: SIM905 - a list would take 250 lines
)
# fmt: on

LONGEST_WORDS = 240  # 242 tokens: within the 256 of all-MiniLM-L6-v2, so that no peer truncates


@dataclass(frozen=True, slots=True)
class Lengths:
    """Log-normal number of words, cut to a range; equal when sigma is 0."""

    median_words: int
    sigma: float
    least_words: int
    most_words: int

    def draw(self, rng: random.Random) -> int:
        words = round(rng.lognormvariate(math.log(self.median_words), self.sigma))
        return min(max(words, self.least_words), self.most_words)


CORPUS = Lengths(median_words=46, sigma=0.85, least_words=6, most_words=LONGEST_WORDS)
QUESTIONS = Lengths(median_words=10, sigma=0.25, least_words=6, most_words=16)
LONG = Lengths(median_words=LONGEST_WORDS, sigma=0, least_words=1, most_words=LONGEST_WORDS)


def equal(words: int) -> Lengths:
    """Every text as long as the others."""
    return Lengths(median_words=words, sigma=0, least_words=1, most_words=words)


def texts(lengths: Lengths, seed: str) -> Iterator[str]:
    """Texts without end. Equal seeds give equal texts, other seeds give others."""
    rng = random.Random(seed)  # noqa: S311 - payloads, not secrets
    seen: set[str] = set()
    while True:
        text = " ".join(rng.choices(WORDS, k=lengths.draw(rng)))
        if text not in seen:
            seen.add(text)
            yield text


def take(count: int, stream: Iterator[str]) -> list[str]:
    """The next texts of a stream."""
    return list(itertools.islice(stream, count))
