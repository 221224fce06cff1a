"""Packed token ids: truncation at either end, refusal, and what tokenizers themselves give."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors

from export.steps.tokenization.packed import (
    GROUP_BYTES,
    KEEP_END,
    KEEP_START,
    REFUSE,
    WHOLE_BYTES,
    InputTooLong,
    PackedTokenizer,
)
from export.steps.tokenization.windows import LONG_BYTES
from tests.checkpoints import byte_bpe, last_token_bpe, unigram, wordpiece
from tests.export.steps.tokenization.kinds import CUT_KINDS, right_aligned_bpe, run
from tests.export.steps.tokenization.texts import hard_text

CLS, SEP = 2, 3
SIDES = {KEEP_START: "right", KEEP_END: "left"}

Save = Callable[[Tokenizer], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save(tokenizer: Tokenizer) -> Path:
        path = tmp_path / "tokenizer.json"
        tokenizer.save(str(path))
        return path

    return save


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer = wordpiece()
    tokenizer.enable_padding()
    tokenizer.enable_truncation(7)  # as checkpoints carry them; neither is ours
    tokenizer.save(str(path))
    return path


def test_all_texts_come_one_after_the_other_without_padding(path: Path) -> None:
    texts = ["one two three", "", "seven"]

    input_ids, seq_lens = PackedTokenizer(path, 64).tokenize(texts)

    expected = [Tokenizer.from_file(str(path)).encode(text).ids for text in texts]
    assert [id for row in expected for id in row] == input_ids.tolist()
    assert [5, 2, 3] == seq_lens.tolist()
    assert ["int64", "int32"] == [input_ids.dtype.name, seq_lens.dtype.name]


@pytest.mark.parametrize(
    ("truncation", "kept"), [(KEEP_START, "one two three"), (KEEP_END, "three four five")]
)
def test_a_long_text_loses_its_other_end_and_keeps_the_special_tokens(
    path: Path, truncation: int, kept: str
) -> None:
    tokenizer = PackedTokenizer(path, 5)

    found, seq_lens = tokenizer.tokenize(["one two three four five"], truncation)

    assert [5] == seq_lens.tolist()
    assert (CLS, SEP) == (found[0], found[-1])
    assert found.tolist() == tokenizer.tokenize([kept])[0].tolist()


@pytest.mark.parametrize("windows", [True, False])
def test_refusal_names_every_text_above_the_limit_with_all_its_tokens(
    path: Path, windows: bool
) -> None:
    tokenizer = PackedTokenizer(path, 5, windows)

    with pytest.raises(InputTooLong) as error:
        tokenizer.tokenize(["one two three four", "one two three", "one " * 3000], REFUSE)

    assert [(0, 6), (2, 3002)] == error.value.overflows
    assert 5 == error.value.max_length
    assert "2 texts have more than 5 tokens" == str(error.value)


@pytest.mark.parametrize("blanks", [1, 1000])
def test_a_text_exactly_at_the_limit_is_not_refused(path: Path, blanks: int) -> None:
    """However many bytes it has."""
    tokenizer = PackedTokenizer(path, 5)
    text = (" " * blanks).join(("one", "two", "three"))

    ids, seq_lens = tokenizer.tokenize([text], REFUSE)

    assert [5] == seq_lens.tolist()
    assert tokenizer.tokenize(["one two three"])[0].tolist() == ids.tolist()
    with pytest.raises(InputTooLong):
        tokenizer.tokenize([f"{text} four"], REFUSE)


@pytest.mark.parametrize("truncation", [-1, 3])
def test_there_are_three_ways_to_treat_a_long_text(path: Path, truncation: int) -> None:
    with pytest.raises(KeyError):
        PackedTokenizer(path, 5).tokenize(["one"], truncation)


@pytest.mark.parametrize("truncation", SIDES)
@pytest.mark.parametrize("make", [wordpiece, byte_bpe, last_token_bpe, unigram])
def test_the_ids_are_those_of_tokenizers_own_truncation(
    make: Callable[[], Tokenizer], truncation: int, save: Save
) -> None:
    """Short texts and long ones in one call, among them one at each length around the limit."""
    limit = 16
    reference = make()
    file = save(reference)
    reference.enable_truncation(limit, direction=SIDES[truncation])
    texts = ["", *(hard_text(seed, 20 * seed) for seed in range(1, 40)), "the " * 400]
    texts += ["one " * count for count in range(limit - 4, limit + 3)]

    for windows in (True, False):
        ids, seq_lens = PackedTokenizer(file, limit, windows).tokenize(texts, truncation)

        expected = [encoding.ids for encoding in reference.encode_batch(texts)]
        assert [len(row) for row in expected] == seq_lens.tolist()
        assert [id for row in expected for id in row] == ids.tolist()


@pytest.mark.parametrize("truncation", SIDES)
def test_what_a_post_processor_does_beyond_that_is_left_to_tokenizers(
    truncation: int, save: Save
) -> None:
    reference = wordpiece()
    reference.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP] $A", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    file = save(reference)
    reference.enable_truncation(6, direction=SIDES[truncation])
    texts = ["one two three four five", "one", "one " * 1000]

    tokenizer = PackedTokenizer(file, 6)
    ids, _ = tokenizer.tokenize(texts, truncation)

    assert not tokenizer.has_windows
    assert [id for text in texts for id in reference.encode(text).ids] == ids.tolist()
    with pytest.raises(InputTooLong) as error:
        tokenizer.tokenize(["one two", "one two three four five"], REFUSE)
    assert [(1, 12)] == error.value.overflows


@pytest.mark.parametrize(("limit", "kept"), [(1, 0), (2, 0), (3, 1)])
def test_a_limit_may_leave_no_room(path: Path, limit: int, kept: int) -> None:
    tokenizer = PackedTokenizer(path, limit)
    one, three = (Tokenizer.from_file(str(path)).token_to_id(word) for word in ("one", "three"))

    for text in ("one two three", "one two three " * 100):
        for truncation, id in ((KEEP_START, one), (KEEP_END, three)):
            expected = [CLS, *[id] * kept, SEP]
            assert expected == tokenizer.tokenize([text], truncation)[0].tolist()


def test_a_tokenizer_whose_tokens_depend_on_the_end_reads_whole_texts(save: Save) -> None:
    file = save(right_aligned_bpe())
    tokenizer = PackedTokenizer(file, 8)

    assert not tokenizer.has_windows
    for digits in (1000, 1001, 1002):
        whole = Tokenizer.from_file(str(file)).encode("1" * digits).ids
        assert whole[:8] == tokenizer.tokenize(["1" * digits])[0].tolist()


@pytest.mark.parametrize("make", [wordpiece, byte_bpe, unigram])
def test_other_tokenizers_read_windows_unless_told_not_to(
    make: Callable[[], Tokenizer], save: Save
) -> None:
    file = save(make())

    assert PackedTokenizer(file, 8).has_windows
    assert not PackedTokenizer(file, 8, windows=False).has_windows


def slices(tokenizer: PackedTokenizer, texts: list[str], truncation: int = 0) -> list[bool]:
    return list(tokenizer.slices([text.encode() for text in texts], truncation))


def test_short_texts_are_one_slice(path: Path) -> None:
    assert [] == slices(PackedTokenizer(path, 64), ["one two"] * 100)
    assert [] == slices(PackedTokenizer(path, 64), [""])


def test_more_of_them_are_several(path: Path) -> None:
    tokenizer = PackedTokenizer(path, 64)
    text = "a" * 512
    fitting = GROUP_BYTES // 512

    assert [] == slices(tokenizer, [text] * fitting)
    assert [False] == slices(tokenizer, [text] * (fitting + 1))
    assert [False] == slices(tokenizer, [text] * (2 * fitting))
    assert [False] * 2 == slices(tokenizer, [text] * (2 * fitting + 1))


def test_texts_in_slices_keep_their_order(path: Path) -> None:
    tokenizer = PackedTokenizer(path, 64)
    texts = [f"{'one ' * (number % 90)}{'two ' * (number % 7 * 40)}" for number in range(300)]

    ids, seq_lens = tokenizer.tokenize(texts)

    alone = [tokenizer.tokenize([text])[0] for text in texts]
    assert [len(row) for row in alone] == seq_lens.tolist()
    assert [id for row in alone for id in row.tolist()] == ids.tolist()


def test_a_text_of_few_bytes_for_its_limit_is_read_whole(path: Path) -> None:
    """Its last slice ends with all of it; one byte more is read from an end, in slices."""
    tokenizer = PackedTokenizer(path, 64)
    most = WHOLE_BYTES * 64

    assert [] == slices(tokenizer, ["one " * (most // 4)])
    assert [False] == slices(tokenizer, ["one " * (most // 4) + "."])


def test_a_whole_text_that_takes_long_is_told(path: Path) -> None:
    tokenizer = PackedTokenizer(path, 64, windows=False)

    assert [] == slices(tokenizer, ["a" * LONG_BYTES])
    assert [True] == slices(tokenizer, ["a" * (LONG_BYTES + 1)])
    assert [True] == slices(tokenizer, ["a", "a" * (LONG_BYTES + 1)])
    assert [False] == slices(tokenizer, ["a" * GROUP_BYTES, "a"])


def test_each_text_in_windows_begins_a_slice(path: Path) -> None:
    tokenizer = PackedTokenizer(path, 64)
    long = "." * 2000

    assert [] == slices(tokenizer, [long])
    assert [False] == slices(tokenizer, [long, long])
    assert [False] * 2 == slices(tokenizer, [long, "one", long])


def test_no_texts_are_no_tokens(path: Path) -> None:
    ids, seq_lens = run(PackedTokenizer(path, 64).slices([], KEEP_START))

    assert ([], []) == (ids.tolist(), seq_lens.tolist())
    assert ["int64", "int32"] == [ids.dtype.name, seq_lens.dtype.name]


def test_bytes_that_are_no_text_are_an_error(path: Path) -> None:
    with pytest.raises(UnicodeDecodeError):
        run(PackedTokenizer(path, 64).slices([b"\xff"], KEEP_START))


@pytest.mark.parametrize("truncation", [KEEP_START, KEEP_END, REFUSE])
@pytest.mark.parametrize("kind", CUT_KINDS)
def test_the_ids_are_the_same_from_segments(kind: str, truncation: int, save: Save) -> None:
    """Of short texts, and of long ones at both sides of what is read whole."""
    limit = 16
    file = save(CUT_KINDS[kind]())
    texts = ["", *(hard_text(seed, 20 * seed) for seed in range(1, 40)), "the bread " * 400]
    texts += ["one two " * (WHOLE_BYTES * limit // 8 + extra) for extra in range(2)]
    whole = PackedTokenizer(file, limit, windows=False)

    for windows in (True, False):
        cut = PackedTokenizer(file, limit, windows, segments_mib=1, are_tireless=True)
        assert "segments" == cut.engine
        assert outcome(whole, texts, truncation) == outcome(cut, texts, truncation)
        for text in texts:
            assert outcome(whole, [text], truncation) == outcome(cut, [text], truncation)


def outcome(tokenizer: PackedTokenizer, texts: list[str], truncation: int) -> object:
    try:
        ids, seq_lens = tokenizer.tokenize(texts, truncation)
    except InputTooLong as error:
        return error.overflows
    assert ["int64", "int32"] == [ids.dtype.name, seq_lens.dtype.name]
    return ids.tolist(), seq_lens.tolist()


def test_it_is_said_why_there_are_no_segments(save: Save) -> None:
    file = save(wordpiece())
    assert "they have no room" == PackedTokenizer(file, 5).why_no_segments
    tokenizer = PackedTokenizer(save(right_aligned_bpe()), 5, segments_mib=1)
    assert "not known to be local" in tokenizer.why_no_segments
    assert "tokenizers" == tokenizer.engine
    reference = wordpiece()
    reference.post_processor = processors.TemplateProcessing(
        single="[SEP] $A [SEP] $A", special_tokens=[("[SEP]", SEP)]
    )
    tokenizer = PackedTokenizer(save(reference), 5, segments_mib=1)
    assert "its post-processor does more" in tokenizer.why_no_segments


def test_no_texts_have_no_ids(save: Save) -> None:
    for segments_mib in (0, 1):
        ids, seq_lens = PackedTokenizer(save(wordpiece()), 5, True, segments_mib).tokenize([])
        assert ([], []) == (ids.tolist(), seq_lens.tolist())
