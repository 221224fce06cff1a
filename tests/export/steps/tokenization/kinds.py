"""Small tokenizers of every kind that is served, and what they give for a whole text."""

import json
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from tests.checkpoints import CORPUS

Result = TypeVar("Result")

RUNS = [
    "." * 12,
    "-" * 40,
    "=" * 16,
    "#" * 8,
    " " * 24,
    "ab" * 9,
    "1234567890" * 3,
    "\n" * 6,
    "哈" * 5,
]
TEXTS = [*CORPUS * 3, *RUNS * 6, *(f"{a}{b}" for a in RUNS for b in CORPUS)]
SPECIALS = ["[UNK]", "[SEP]", "<s>"]

# Of a Unigram model to which many ways through a run are equally good.
SCORES = {
    "[UNK]": -14.0, "▁": -3.7, ".": -3.2530225192024087, "...": -9.381084944756477, "a": -4.25137,
    "b": -4.7331, "ab": -6.113, "ba": -6.29, "aba": -9.0177, "abab": -11.0007, "▁the": -5.0,
    "▁...": -9.9, "-": -5.5, "--": -7.3131, "-----": -9.00091, "-------": -10.0101,
}  # fmt: skip

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def wordpiece(lowercase: bool = True) -> Tokenizer:
    """As BERT."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _trained(tokenizer, trainers.WordPieceTrainer, vocab_size=400)


def byte_bpe() -> Tokenizer:
    """As GPT-2 and RoBERTa."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(tokenizer, trainers.BpeTrainer, vocab_size=600, initial_alphabet=alphabet)


def bpe_of(*merges: str, **options: Any) -> Tokenizer:
    """Byte-level BPE with these merges, each the two tokens with a blank between, best first."""
    pairs = [(left, right) for left, right in (merge.split() for merge in merges)]
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in pairs)]
    vocabulary = {token: id for id, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, **options))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def prefixed_bpe() -> Tokenizer:
    """As RoBERTa is asked for at times: a blank before each text, and a mask that takes blanks."""
    tokenizer = byte_bpe()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    return tokenizer


def grouped_bpe() -> Tokenizer:
    """As Llama 3 and Qwen: digits in threes, blanks up to a line's end, normal form C."""
    tokenizer = byte_bpe()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_special_tokens([AddedToken("<tok>", rstrip=True)])
    return tokenizer


def blank_bpe() -> Tokenizer:
    """As ModernBERT: rows of blanks are added tokens, found greedily."""
    tokenizer = byte_bpe()
    tokenizer.add_tokens([AddedToken(" " * count, normalized=True) for count in range(2, 25)])
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True)])
    return tokenizer


def one_piece_bpe() -> Tokenizer:
    """As Gemma: the whole text is one piece, unknown characters are bytes."""
    trained = Tokenizer(models.BPE())
    trained.train_from_iterator(
        [text.replace(" ", "▁") for text in TEXTS],
        trainers.BpeTrainer(vocab_size=700, special_tokens=SPECIALS, show_progress=False),
    )
    model = json.loads(trained.to_str())["model"]
    bytes_ = (f"<0x{byte:02X}>" for byte in range(256))
    vocabulary = model["vocab"] | {token: 1000 + byte for byte, token in enumerate(bytes_)}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, [tuple(merge) for merge in model["merges"]], byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    return tokenizer


def cut_bpe(prepends: bool = False) -> Tokenizer:
    """As Gemma, or as Llama 2: the whole text is one piece, but no token reaches over blanks."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=SPECIALS, show_progress=False)
    trained.train_from_iterator(TEXTS, trainer)
    model = json.loads(trained.to_str())["model"]
    vocabulary = model["vocab"] | {f"<0x{byte:02X}>": 1000 + byte for byte in range(256)}
    merges = [tuple(merge) for merge in model["merges"]]
    options = {"byte_fallback": True, "fuse_unk": True, "unk_token": "[UNK]"}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, **options))
    parts = [normalizers.Prepend("▁")] if prepends else []
    tokenizer.normalizer = normalizers.Sequence([*parts, normalizers.Replace(" ", "▁")])
    if not prepends:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.add_tokens([AddedToken("\n" * count, normalized=False) for count in range(1, 5)])
    return tokenizer


def unigram() -> Tokenizer:
    """As XLM-RoBERTa."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return _trained(tokenizer, trainers.UnigramTrainer, vocab_size=400, unk_token="[UNK]")


def spaced_unigram(prepend_scheme: str) -> Tokenizer:
    """The same with a blank before the first word alone, or before none."""
    tokenizer = unigram()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme)
    return tokenizer


def split_unigram() -> Tokenizer:
    """As XLM-RoBERTa's own file: rows of blanks are one, and words are found before their marks."""
    tokenizer = unigram()
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Replace("``", '"'),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    return tokenizer


def scored_unigram(scores: dict[str, float]) -> Tokenizer:
    """The same with these scores, that of an unknown character first."""
    tokenizer = Tokenizer(models.Unigram(list(scores.items()), 0, False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def collapsing_unigram() -> Tokenizer:
    """As sentencepiece is converted: blanks in a row are one, those at the end none."""
    tokenizer = unigram()
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ]
    )
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    return tokenizer


def word_level() -> Tokenizer:
    """A token a word, of a model that nothing is known of."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return _trained(tokenizer, trainers.WordLevelTrainer)


def right_aligned_bpe() -> Tokenizer:
    """Digits in threes counted from the right: where they begin depends on where they end."""
    tokenizer = byte_bpe()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d{1,3}(?=(\d{3})*\b)"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "wordpiece": wordpiece,
    "cased-wordpiece": lambda: wordpiece(lowercase=False),
    "byte-bpe": byte_bpe,
    "prefixed-bpe": prefixed_bpe,
    "grouped-bpe": grouped_bpe,
    "blank-bpe": blank_bpe,
    "one-piece-bpe": one_piece_bpe,
    "unigram": unigram,
    "collapsing-unigram": collapsing_unigram,
    "word-level": word_level,
}


# Whose texts may be cut at blanks.
CUT_KINDS: dict[str, Callable[[], Tokenizer]] = {
    **{name: make for name, make in KINDS.items() if name != "one-piece-bpe"},
    "split-unigram": split_unigram,
    "cut-bpe": cut_bpe,
    "cut-bpe-prepended": lambda: cut_bpe(prepends=True),
    "unigram-first": lambda: spaced_unigram("first"),
    "unigram-never": lambda: spaced_unigram("never"),
}


def _trained(tokenizer: Tokenizer, trainer: Callable[..., Any], **options: Any) -> Tokenizer:
    tokenizer.train_from_iterator(
        TEXTS, trainer(special_tokens=SPECIALS, show_progress=False, **options)
    )
    return tokenizer


class Counting:
    """A tokenizer that counts the characters it is given, and keeps the texts of each call."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.characters = 0
        self.calls: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, text: str, **options: Any) -> Any:
        self.characters += len(text)
        return self._tokenizer.encode(text, **options)

    def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
        self.characters += sum(map(len, texts))
        if texts:
            self.calls.append(texts)
        return self._tokenizer.encode_batch_fast(texts, **options)


def whole_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """What tokenizers itself gives."""
    return tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids


def run(slices: Generator[bool, None, Result]) -> Result:
    """What comes of work in slices."""
    while True:
        try:
            next(slices)
        except StopIteration as done:
            return done.value
