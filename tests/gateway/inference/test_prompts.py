"""What is put before a text, and which prompt that is."""

import random
import unicodedata
from collections.abc import Mapping

import pytest

from gateway.inference.prompts import (
    MAX_PROMPTS_CHARACTERS,
    Prompts,
    heads,
    join,
    read_prompts,
)


def joined(prompt: str, *texts: str) -> list[str]:
    encoded = [text.encode() for text in texts]
    return [text.decode() for text in join(heads(prompt, encoded), encoded)]


QWEN = "Instruct: Given a web search query, retrieve relevant passages\nQuery:"


@pytest.mark.parametrize(
    ("prompt", "text", "expected"),
    [
        (QWEN, "bread", f"{QWEN}bread"),
        ("query: ", "bread", "query: bread"),
        ("query:", "\nbread", "query:\nbread"),
        ("query", "bread", "query bread"),
        ("query", "-bread", "query-bread"),
        ("query", " bread", "query bread"),
        ("top 3", "4 loaves", "top 3 4 loaves"),
        ("top²", "½ loaf", "top² ½ loaf"),
        ("query", "", "query"),
        ("", "bread", "bread"),
        ("", "", ""),
        ("query_", "bread", "query_bread"),
        ("查询\uff1a", "面包", "查询\uff1a面包"),
        ("查询", "面包", "查询 面包"),
        ("frage", "über", "frage über"),
        ("frage", "u\u0308ber", "frage u\u0308ber"),  # decomposed: it begins with the letter u
        ("cafe\u0301", "bread", "cafe\u0301bread"),  # and ends with a mark, which is no letter
        ("query", "🍞", "query🍞"),
        ("\U0001d42a", "\U0001d41b", "\U0001d42a \U0001d41b"),  # letters of four bytes
        ("q" * 3, "é" * 3, "qqq ééé"),  # the fourth byte is within a character
    ],
)
def test_a_space_is_put_between_two_words_only(prompt: str, text: str, expected: str) -> None:
    assert [expected] == joined(prompt, text)


def test_what_is_joined_is_both_and_at_most_a_space() -> None:
    """1000 pairs of characters from everywhere that UTF-8 reaches."""
    rng = random.Random(22)  # noqa: S311 - the same characters every time
    drawn = (chr(rng.choice((rng.randrange(0x500), rng.randrange(0x11_0000)))) for _ in range(4000))
    characters = [sign for sign in drawn if unicodedata.category(sign) != "Cs"]
    assert {True, False} == {sign.isalnum() for sign in characters}
    for _ in range(1000):
        prompt = "".join(rng.choices(characters, k=rng.randrange(4)))
        text = "".join(rng.choices(characters, k=rng.randrange(4)))
        both_words = bool(prompt and text) and prompt[-1].isalnum() and text[0].isalnum()
        assert [f"{prompt}{' ' * both_words}{text}"] == joined(prompt, text)


def test_each_text_of_a_call_is_joined_by_itself() -> None:
    expected = ["query bread", "query: salt", "query"]
    assert expected == joined("query", "bread", ": salt", "")


def test_without_a_prompt_no_text_is_copied() -> None:
    texts = [b"bread", b""]
    assert [id(text) for text in texts] == [id(text) for text in join(heads("", texts), texts)]


OWN = Prompts({"query": "query: ", "plain": ""}, "query")


@pytest.mark.parametrize(
    ("prompts", "asked", "chosen"),
    [
        (OWN, None, "query: "),
        (OWN, "", ""),
        (OWN, "q: ", "q: "),
        (OWN, "plain", "plain"),  # a text, never a name
        (Prompts(OWN.texts, "plain"), None, ""),
        (Prompts(OWN.texts, None), None, ""),
        (Prompts(), None, ""),
        (Prompts(), "q: ", "q: "),
    ],
)
def test_the_checkpoint_speaks_where_the_caller_is_silent(
    prompts: Prompts, asked: str | None, chosen: str
) -> None:
    assert chosen == prompts.choose(asked)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, Prompts()),
        ({"prompts": "{}", "default_prompt_name": ""}, Prompts()),
        ({"prompts": '{"b": "x", "a": ""}'}, Prompts({"b": "x", "a": ""})),
        (
            {"prompts": '{"查": "x\\n\uff1a", "a": "y"}', "default_prompt_name": "查"},
            Prompts({"查": "x\n\uff1a", "a": "y"}, "查"),
        ),
    ],
    ids=["exported-before", "none", "no-default", "default"],
)
def test_prompts_are_what_the_parameters_say(
    parameters: Mapping[str, str], expected: Prompts
) -> None:
    found = read_prompts(parameters)
    assert (expected, list(expected.texts)) == (found, list(found.texts))


def test_the_prompts_of_a_checkpoint_may_be_as_long_as_the_bound() -> None:
    fits = '{"a":"' + "x" * (MAX_PROMPTS_CHARACTERS - 8) + '"}'
    assert MAX_PROMPTS_CHARACTERS == len(fits)
    assert MAX_PROMPTS_CHARACTERS - 8 == len(read_prompts({"prompts": fits}).texts["a"])
    with pytest.raises(ValueError, match="more than 65536 characters"):
        read_prompts({"prompts": f"{fits} "})


@pytest.mark.parametrize(
    "parameters",
    [
        {"prompts": ""},
        {"prompts": "{"},
        {"prompts": "[" * 10_000},
        {"prompts": "[]"},
        {"prompts": '"query: "'},
        {"prompts": "null"},
        {"prompts": '{"a": 1}'},
        {"prompts": '{"a": null}'},
        {"prompts": '{"a": {"b": "x"}}'},
        {"prompts": '{"a": "\\ud800"}'},
        {"default_prompt_name": "a"},
        {"prompts": '{"a": "x"}', "default_prompt_name": "b"},
    ],
    ids=lambda parameters: str(parameters)[:40],
)
def test_what_is_no_object_of_prompts_is_refused(parameters: Mapping[str, str]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the reason, it is one a catalogue reads
        read_prompts(parameters)
