"""What post-processors put around a text's ids, and when that is not all they do."""

import pytest
from tokenizers import Tokenizer, processors

from export.steps.tokenization.specials import special_ids
from tests.export.steps.tokenization.kinds import byte_bpe, wordpiece

UNK, SEP, S = 0, 1, 2
TOKENS = [("[SEP]", SEP), ("<s>", S)]


def template(single: str) -> processors.PostProcessor:
    return processors.TemplateProcessing(single=single, special_tokens=TOKENS)


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (template("<s> $A [SEP]"), ((S,), (SEP,))),
        (template("$A [SEP]"), ((), (SEP,))),
        (template("<s> <s> $A"), ((S, S), ())),
        (template("$A"), ((), ())),
        (processors.BertProcessing(("[SEP]", SEP), ("<s>", S)), ((S,), (SEP,))),
        (processors.RobertaProcessing(("[SEP]", SEP), ("<s>", S)), ((S,), (SEP,))),
        (processors.ByteLevel(trim_offsets=True), ((), ())),
        (
            processors.Sequence([processors.ByteLevel(), template("<s> $A [SEP]")]),
            ((S,), (SEP,)),
        ),
    ],
    ids=["both", "after", "two", "none", "bert", "roberta", "byte-level", "sequence"],
)
def test_tokens_before_and_after(
    processor: processors.PostProcessor, expected: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    tokenizer = byte_bpe()
    tokenizer.post_processor = processor

    assert expected == special_ids(tokenizer)


def test_no_post_processor_adds_nothing() -> None:
    assert ((), ()) == special_ids(wordpiece())


def test_what_repeats_a_text_is_not_known() -> None:
    tokenizer = wordpiece()
    tokenizer.post_processor = template("$A [SEP] $A")

    assert special_ids(tokenizer) is None


def test_special_tokens_that_are_a_texts_own_are_told_apart() -> None:
    """One text alone would leave open which of two equal ids is the text's."""
    tokenizer = byte_bpe()
    a = tokenizer.token_to_id("a")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="a $A a", special_tokens=[("a", a)]
    )

    assert ((a,), (a,)) == special_ids(tokenizer)


def test_the_tokenizer_is_left_as_it_is() -> None:
    tokenizer: Tokenizer = wordpiece()
    tokenizer.post_processor = template("<s> $A [SEP]")

    special_ids(tokenizer)

    assert [S, SEP] == tokenizer.encode("").ids
