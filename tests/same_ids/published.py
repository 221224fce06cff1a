"""Tokenizers built as those of much-used checkpoints are, around vocabularies trained here.

Normalizers, pre-tokenizers, post-processors and added tokens are theirs; what they know is not.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tests.export.steps.tokenization.kinds import LLAMA3, one_piece_bpe

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>"]
Texts: TypeAlias = Sequence[str]  # of which a vocabulary is made

QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def bert(
    texts: Texts, lowercase: bool, strip_accents: bool | None = None, chinese: bool = True
) -> Tokenizer:
    """bert-base in its forms, multilingual and Chinese ones, and what was trained from them."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(True, chinese, strip_accents, lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    _train(tokenizer, texts, trainers.WordPieceTrainer(vocab_size=4000, special_tokens=BERT))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def mpnet(texts: Texts) -> Tokenizer:
    """all-mpnet-base-v2: BERT's words between RoBERTa's tokens; its mask takes blanks."""
    tokenizer = bert(texts, lowercase=True)
    tokenizer.add_special_tokens([*ROBERTA, AddedToken("<mask>", lstrip=True)])
    return _template(tokenizer, "<s>", "</s>")


def roberta(texts: Texts, prefix: bool = False) -> Tokenizer:
    """roberta-base, jina-v2-code."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    _train(tokenizer, texts, _bytes(ROBERTA))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=prefix
    )
    return tokenizer


def modernbert(texts: Texts) -> Tokenizer:
    """Normal form C; rows of blanks and some words are added tokens, not all of them special."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    _train(tokenizer, texts, _bytes(["|||IP_ADDRESS|||", "<|padding|>"]))
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    tokenizer.add_tokens(["|||EMAIL_ADDRESS|||", "|||PHONE_NUMBER|||"])
    tokenizer.add_special_tokens([*BERT[:4], AddedToken("[MASK]", lstrip=True)])
    return _template(tokenizer, "[CLS]", "[SEP]")


def qwen3(texts: Texts) -> Tokenizer:
    """Normal form C, digits one by one, one special token at the end."""
    tokenizer = _split_bytes(texts, QWEN, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("<tool_call>")])
    return _template(tokenizer, None, "<|endoftext|>")


def llama3(texts: Texts) -> Tokenizer:
    """Whole words are taken for tokens before merges are."""
    tokenizer = _split_bytes(texts, LLAMA3, ["<|begin_of_text|>", "<|end_of_text|>"])
    tokenizer.model.ignore_merges = True
    return _template(tokenizer, "<|begin_of_text|>", None)


def gemma(texts: Texts) -> Tokenizer:
    """embeddinggemma: pieces end with blanks, unknown characters are bytes, newlines are added."""
    tokenizer = one_piece_bpe()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.model.fuse_unk = True
    tokenizer.add_special_tokens(["<bos>", "<eos>", "<mask>"])
    rows = [blank * n for blank in ("\n", "\t", "▁") for n in range(2, 12)]
    tokenizer.add_tokens([AddedToken(row, normalized=False) for row in [*rows, "<table>"]])
    return _template(tokenizer, "<bos>", "<eos>")


def mistral(texts: Texts) -> Tokenizer:
    """e5-mistral: one piece with a blank in front."""
    tokenizer = one_piece_bpe()
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return _template(tokenizer, "<s>", "</s>")


def xlm_roberta(texts: Texts, split: bool = True) -> Tokenizer:
    """multilingual-e5, bge-m3: but for the table of characters, of which NFKC is the most."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="always", split=split)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
        if split
        else metaspace
    )
    _train(tokenizer, texts, _unigram(ROBERTA))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    return _template(tokenizer, "<s>", "</s>")


def t5(texts: Texts) -> Tokenizer:
    """sentence-t5, gtr: one special token at the end, a hundred more at the ready."""
    tokenizer = xlm_roberta(texts, split=False)
    tokenizer.add_special_tokens([f"<extra_id_{n}>" for n in range(100)])
    return _template(tokenizer, None, "</s>")


def albert(texts: Texts) -> Tokenizer:
    """Quotation marks are others, accents and capitals gone."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    _train(tokenizer, texts, _unigram(BERT, unknown="[UNK]"))
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True)])
    return _template(tokenizer, "[CLS]", "[SEP]")


def deberta(texts: Texts) -> Tokenizer:
    """deberta-v3: ends are stripped, punctuation stands alone."""
    tokenizer = xlm_roberta(texts, split=False)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation("isolated"), pre_tokenizers.Metaspace()]
    )
    return tokenizer


def clip(texts: Texts) -> Tokenizer:
    """Words that end with a mark, whatever stands between them."""
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    pattern = (
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
        r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|startoftext|>", "<|endoftext|>"]
    _train(
        tokenizer,
        texts,
        trainers.BpeTrainer(
            vocab_size=4000,
            special_tokens=special,
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
        ),
    )
    return _template(tokenizer, *special)


PUBLISHED: dict[str, Callable[[Texts], Tokenizer]] = {
    "bert-uncased": lambda texts: bert(texts, lowercase=True),
    "bert-cased": lambda texts: bert(texts, lowercase=False),
    "bert-cased-without-accents": lambda texts: bert(texts, lowercase=False, strip_accents=True),
    "bert-uncased-with-accents": lambda texts: bert(texts, lowercase=True, strip_accents=False),
    "bert-without-chinese": lambda texts: bert(texts, lowercase=True, chinese=False),
    "mpnet": mpnet,
    "roberta": roberta,
    "roberta-prefixed": lambda texts: roberta(texts, prefix=True),
    "modernbert": modernbert,
    "qwen3": qwen3,
    "llama3": llama3,
    "gemma": gemma,
    "mistral": mistral,
    "xlm-roberta": xlm_roberta,
    "xlm-roberta-unsplit": lambda texts: xlm_roberta(texts, split=False),
    "t5": t5,
    "albert": albert,
    "deberta": deberta,
    "clip": clip,
}


def _split_bytes(texts: Texts, pattern: str, special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    _train(tokenizer, texts, _bytes(special))
    return tokenizer


def _bytes(special: list[str]) -> Any:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trainers.BpeTrainer(vocab_size=4000, special_tokens=special, initial_alphabet=alphabet)


def _unigram(special: list[str], unknown: str = "<unk>") -> Any:
    return trainers.UnigramTrainer(vocab_size=4000, special_tokens=special, unk_token=unknown)


def _train(tokenizer: Tokenizer, texts: Texts, trainer: Any) -> None:
    trainer.show_progress = False
    tokenizer.train_from_iterator(texts, trainer)


def _template(tokenizer: Tokenizer, first: str | None, last: str | None) -> Tokenizer:
    around = [token for token in (first, last) if token is not None]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join(part for part in (first, "$A", last) if part),
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in around],
    )
    return tokenizer
