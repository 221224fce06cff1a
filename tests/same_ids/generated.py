"""Texts that are hard on purpose, from characters and from a tokenizer's own vocabulary.

Few pieces stand beside each other in many ways: what a tokenizer keeps of one place is then asked
for in all others.
"""

import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from tokenizers import Tokenizer, pre_tokenizers

from tests.same_ids.characters import ASSIGNED, BLANKS, HARD, MARKS, NEARLY_BLANKS

POOL_TEXTS = 400  # that share their pieces
POOL_PIECES = 150
LONG_WORDS = (99, 100, 101, 119, 120, 121)  # around the longest that WordPiece knows
# fmt: off
WORDS = [
    "the", "of", "bread", "The", "BREAD", "don't", "they'd've", "'re", "l'été", "O'Neil's",
    "rock'n'roll", "e-mail",
    "naïve", "Straße", "Käse", "façade", "x=f(y);", "self.x", "__init__", "CamelCase",
    "snake_case", "0x1F", "1e-5",
    "3.14", "1,000,000", "12:30", "50%", "$9.99", "#tag", "@user", "v1.2.3", "a/b", "and/or",
    "U.S.A.", "Ph.D.",
    "https://example.org/a?b=c&d=%20#e", "user@example.org", "C:\\Users\\x", "/usr/bin/env",
    "127.0.0.1", "C++",
    "<div class=\"a\">", "</s>", "{\"k\":1}", "[1,2]", "(a+b)*c", "**bold**", "`code`", "|---|",
    "=====", "-----",
    "Donaudampfschifffahrtsgesellschaft", "a", "I", "1", "12", "123", "1234", "1234567890",
    "面包为什么", "パンはなぜ", "빵은",
]
CODE = [
    "def f(x):\n    return x\n", "if (a) {\n\t\tb();\n\t}\n",
    "for i in range(10):\n        pass\n\n\n", "  - a\n    - b\n",
    "x\t=\t1\r\n", "// comment \n", "/* a\n * b\n */", "SELECT *\n  FROM t\n WHERE a = 'b''c';",
    "\n\n\n", "    ", "\t", "        ",
]
# fmt: on


class Generator:
    """The same texts for the same tokenizer and seed."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, seed: int) -> None:
        """max_length: in tokens, around and above which texts are made too."""
        self._draw = random.Random(seed)  # noqa: S311 - no secrets
        self._tokens = spelled(tokenizer)
        self._added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        self._added.sort()
        self._max_length = max_length

    def texts(self, count: int) -> Iterator[str]:
        """So many, most of them short."""
        pool: list[str] = []
        for number in range(count):
            if number % POOL_TEXTS == 0:
                pool = [self._piece() for _ in range(POOL_PIECES)]
            yield self._text(pool)

    def _text(self, pool: Sequence[str]) -> str:
        draw = self._draw
        pieces = self._pieces(pool)
        kind = draw.random()
        if kind < 0.70:
            return self._joined([pieces() for _ in range(draw.randint(1, 8))])
        if kind < 0.90:
            return self._joined([pieces() for _ in range(draw.randint(8, 30))])
        if kind < 0.97:
            return self._near_the_limit(pieces)
        if kind < 0.99:
            return self._repeated(pieces)
        return self._joined([pieces() for _ in range(draw.randint(3, 12) * self._max_length)])

    def _pieces(self, pool: Sequence[str]) -> Callable[[], str]:
        draw = self._draw
        few = draw.sample(pool, draw.choice((2, 5, 20, len(pool))))
        fresh = draw.choice((0, 0, 0.1, 0.5))
        return lambda: self._piece() if draw.random() < fresh else draw.choice(few)

    def _joined(self, pieces: Sequence[str]) -> str:
        """With blanks between, or what is none; sometimes at the ends too."""
        draw = self._draw
        usual = draw.choice((" ", " ", " ", " ", "\n", "", None))
        joints = [self._joint() if usual is None or draw.random() < 0.1 else usual for _ in pieces]
        text = "".join(part for pair in zip(pieces, joints, strict=True) for part in pair)
        if draw.random() < 0.8:
            text = text[: len(text) - len(joints[-1])]
        return self._joint() + text if draw.random() < 0.15 else text

    def _joint(self) -> str:
        draw = self._draw
        kind = draw.random()
        if kind < 0.5:
            return draw.choice((" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n", "\n ", "\xa0"))
        if kind < 0.6:
            return " " * draw.randint(2, 40)
        if kind < 0.8:
            return draw.choice(BLANKS) * draw.choice((1, 1, 2))
        if kind < 0.9:
            return draw.choice((" ", "")) + draw.choice(MARKS) + draw.choice((" ", ""))
        return draw.choice((" ", "")) + draw.choice(NEARLY_BLANKS) + draw.choice((" ", ""))

    def _near_the_limit(self, pieces: Callable[[], str]) -> str:
        """Words of one token each, most often, up to the limit or a few beside."""
        draw = self._draw
        count = max(0, self._max_length + draw.randint(-6, 3))
        words = draw.choices(("a", "1", ".", "the", "一", *self._tokens[:4]), k=count)
        for _ in range(draw.randint(0, 4)):
            words.insert(draw.choice((0, len(words), draw.randint(0, len(words)))), pieces())
        return draw.choice((" ", " ", "\n")).join(words)

    def _repeated(self, pieces: Callable[[], str]) -> str:
        draw = self._draw
        part = "".join(pieces() for _ in range(draw.randint(1, 3))) + draw.choice(("", " ", "\n"))
        times = draw.choice((3, 10, 40, 20 * self._max_length // (len(part) + 1)))
        return pieces() + part * times + pieces()

    def _piece(self) -> str:
        make = self._draw.choice(
            (
                self._word, self._word, self._token, self._token, self._cut_token, self._two_tokens,
                self._added_token, self._hard, self._hard, self._marked, self._any, self._long,
                self._number, self._code,
            )
        )  # fmt: skip
        return make()

    def _word(self) -> str:
        word = self._draw.choice(WORDS)
        end = self._draw.choice(
            ("", "", "", ",", ".", "?", "!", ":", ";", ")", "'", '"', "’s", "…")
        )
        return self._draw.choice(("", "", "", "(", '"', "'", "“", "-")) + word + end

    def _token(self) -> str:
        token = self._draw.choice(self._tokens)
        change = self._draw.choice((str, str, str, str.upper, str.title, str.lower))
        return change(token)

    def _cut_token(self) -> str:
        token = self._draw.choice(self._tokens)
        at = self._draw.randint(0, len(token))
        return self._draw.choice((token[:at], token[at:], token[:at] + " " + token[at:])) or token

    def _two_tokens(self) -> str:
        first, second = self._draw.choices(self._tokens, k=2)
        return first + self._draw.choice(("", "", "-", "'", "\u200d", "\u0301")) + second

    def _added_token(self) -> str:
        """One, with and without blanks and letters around it; or nearly one."""
        draw = self._draw
        token = draw.choice(self._added or WORDS)
        if draw.random() < 0.2:
            at = draw.randint(0, len(token))
            token = draw.choice((token[:at] + token[at + 1 :], token[:at] + " " + token[at:]))
        if draw.random() < 0.2:
            token = draw.choice((token.lower(), token.upper(), token.title()))
        around = ("", "", "", " ", "  ", "\n", "a", ".", "\u0301", "\u3000", "面")
        return draw.choice(around) + token * draw.choice((1, 1, 1, 2)) + draw.choice(around)

    def _hard(self) -> str:
        draw = self._draw
        kind = draw.choice(HARD)
        parts = draw.choices(kind, k=draw.randint(1, 4))
        if draw.random() < 0.5:
            parts.insert(draw.randint(0, len(parts)), draw.choice(("a", "B", "1", "é", *WORDS[:4])))
        return "".join(parts)

    def _marked(self) -> str:
        """Marks at the beginning, at the end and within a word, many of them or few."""
        draw = self._draw
        word = draw.choice((*WORDS[:8], "", "e", "I", "Σ", "か", "ｶ", "가", "ᄒ", "1", "."))
        marks = "".join(draw.choices(MARKS, k=draw.choice((1, 1, 2, 3, 12))))
        at = draw.choice((0, len(word), draw.randint(0, len(word))))
        return word[:at] + marks + word[at:]

    def _any(self) -> str:
        draw = self._draw
        near = draw.randrange(
            bisect_left(ASSIGNED, draw.choice((0x250, 0x2000, 0x10000, 0x110000)))
        )
        numbers = (near + draw.randint(0, 40) for _ in range(draw.randint(1, 6)))
        return "".join(chr(ASSIGNED[number % len(ASSIGNED)]) for number in numbers)

    def _long(self) -> str:
        draw = self._draw
        letters = draw.choice(
            ("a", "ab", "abcdefghij", "0123456789", ".", "-=", "aé", "Aa", "面", "ﾊﾞ")
        )
        return "".join(draw.choices(letters, k=draw.choice((*LONG_WORDS, 20, 40, 400))))

    def _number(self) -> str:
        draw = self._draw
        digits = str(draw.randrange(10 ** draw.randint(1, 14)))
        return draw.choice(("", "", "-", "$", "№", "x")) + draw.choice(
            (digits, f"{digits}.{digits[:2]}", f"{int(digits):,}", f"{digits}%", f"{digits}th")
        )

    def _code(self) -> str:
        return self._draw.choice(CODE)


def spelled(tokenizer: Tokenizer) -> list[str]:
    """What the tokens of a vocabulary stand for in a text, as well as that can be said."""
    letters = _byte_letters() if "ByteLevel" in str(tokenizer.pre_tokenizer) else {}
    found = set[str]()
    for token in tokenizer.get_vocab(with_added_tokens=False):
        plain = token.removeprefix("##").replace("▁", " ").removesuffix("</w>")
        if letters and all(letter in letters for letter in token):
            plain = bytes(letters[letter] for letter in token).decode(errors="ignore")
        found |= {plain, token}
    return sorted(found - {""}) or ["a"]


def _byte_letters() -> dict[str, int]:
    """The letters of byte-level BPE → the bytes that they stand for."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {chr(byte): byte for byte in plain}
    letters |= {chr(0x100 + n): byte for n, byte in enumerate(others)}
    assert set(letters) == set(pre_tokenizers.ByteLevel.alphabet())
    return letters
