"""Texts from pages."""

from load_tests.host_path.corpus import Paragraphs, is_translated, make_texts


def test_the_paragraphs_of_a_page_are_its_words() -> None:
    parser = Paragraphs()
    parser.feed("<h1>no</h1><p>Salt &amp;\n <b>water</b></p><pre>no</pre><p>open<p>bread")
    parser.close_paragraph()
    assert parser.found == ["Salt & water", "open", "bread"]


def test_short_paragraphs_are_joined_and_long_ones_cut_and_short_rests_left() -> None:
    pages = [["one two", "three"], ["four five six seven eight nine"]]
    assert list(make_texts(pages, 10)) == ["one two three", "four five six", "seven eight"]


def test_text_without_blanks_is_cut_too() -> None:
    assert next(make_texts([["あ" * 50]], 10)) == "あ" * 21


def test_no_paragraph_and_no_text_comes_twice() -> None:
    pages = [["Contents", "Salt and water."], ["Contents", "Bread and wine."]]
    assert list(make_texts(pages, 12)) == ["Contents Salt", "and water.", "Bread and wine."]


def test_paragraphs_that_nobody_translated_are_told_apart() -> None:
    assert is_translated("ext4 ファイルシステムを使います。")
    assert not is_translated("Use the 命令 ls -l to list files.")
