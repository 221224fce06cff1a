"""What looking up words costs and holds, measured for a moment."""

from load_tests.bench.segments import corpora, new_words, soak
from load_tests.payloads import take


def test_a_soak_tells_of_each_part_of_its_time() -> None:
    _, *rows = soak(0.2)
    assert 20 == len(rows)
    cells = [float(cell) for cell in rows[-1].strip("| ").split(" | ")]
    assert 0.2 == round(cells[0], 1) or cells[0] == 0
    assert cells[1] > 0
    assert cells[2] > cells[3] > 0


def test_new_words_do_not_come_again() -> None:
    words = [word for text in take(100, new_words(0)) for word in text.split()]
    assert len(words) == len(set(words))


def test_every_corpus_has_texts() -> None:
    for texts in corpora().values():
        assert len(texts) > 200
        assert all(texts)
