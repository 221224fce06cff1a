"""Texts that are hard to cut: what is repeated without end, and mixtures of all that."""

import random

# fmt: off
WORDS = [
    "the", "of", "bread", "baker,", "again.", "Donaudampfschifffahrt", "Käse", "naïve", "面包",
    "パン", "хлеб", "123", "4.5%", "x=f(y);", "🍞", "https://example.org/a?b=c", "don't", "Straße",
    "they'd've", "ΑΣ", "ﬁ", "½", "﷽", "१२३", "ไทย", "हिन्दी",
]
PARTS = [
    ".", "...", "-", "=", "_", " ", "  ", "\n", "\r\n", "\t", "a", "A", "aA", "ab", "aba", "0",
    "7", "123", "'", "'s", " '", "e\u0301", "\u0301", "\u0323", "\u0301\u0323", "\u200d",
    "\ufe0f", "👩\u200d👩\u200d👧\u200d👦", "🇩🇪", "🇩", "한글", "\u1112\u1161\u11ab", "क्षि", "面",
    "哈", "。", "ß", "İ", "\x00", "\u200b", "\xa0", "\u3000", "\u2028", "[SEP]", "[MASK]",
    "<mask>", "<tok>", "<s>", "<0xE2>", "▁", "Ġ", "ﬃ", "\u0345", "Ω\u0345", "\ufdfa", "(", ")",
    "{", '"', ",",
]
ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz", "ab", "abcABC0123", "0123456789", "ab ", "的一是不了人我",
    "กขคงจาิีุู", "\u0301\u0323\u0300", "aáe\u0301.,;:!?-", " \n\t", ".-= ",
]
# fmt: on


def hard_text(seed: int, characters: int) -> str:
    """The same for the same seed."""
    draw = random.Random(seed)  # noqa: S311 - no secrets
    parts: list[str] = []
    while sum(map(len, parts)) < characters:
        make = draw.choice((_words, _words, _repeated, _mixture, _letters))
        parts.append(make(draw, draw.choice((20, 100, 400, characters))))
    return "".join(parts)[:characters]


def _words(draw: random.Random, characters: int) -> str:
    words = draw.choices(WORDS, k=characters // 5 + 1)
    return draw.choice((" ", " ", " ", "\n", "", " \n")).join(words)


def _repeated(draw: random.Random, characters: int) -> str:
    part = draw.choice(PARTS)
    return part * (characters // len(part) + 1)


def _mixture(draw: random.Random, characters: int) -> str:
    chosen = draw.choices(PARTS, k=draw.choice((2, 3, 5, 10)))
    text = ""
    while len(text) < characters:
        text += draw.choice(chosen) * draw.choice((1, 1, 1, 2, 3, 7, 30, draw.randint(1, 200)))
    return text


def _letters(draw: random.Random, characters: int) -> str:
    return "".join(draw.choices(draw.choice(ALPHABETS), k=characters))
