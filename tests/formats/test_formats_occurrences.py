"""The occurrences of strings in a text."""

import random

import pytest

from spacy_genner.formats import occurrences as occurrences_module
from spacy_genner.formats.occurrences import occurrences


def test_all_occurrences_are_found():
    choose = random.Random(0)
    for _ in range(500):
        text = "".join(choose.choices("ab", k=choose.randint(1, 60)))
        string = "".join(choose.choices("ab", k=choose.randint(1, 5)))
        expected = [
            (at, at + len(string))
            for at in range(len(text))
            if text.startswith(string, at)
        ]
        assert occurrences(text, string) == expected
    assert occurrences("a" * 5000, "a" * 2500)[-1] == (2500, 5000)
    assert occurrences("ab" * 2500, "ab" * 1000)[:2] == [(0, 2000), (2, 2002)]


@pytest.mark.parametrize("alphabet", ["ab", "abc ", "äb"])
def test_long_strings_are_found_by_sorted_positions(monkeypatch, alphabet):
    """Strings that are longer than the characters by which positions are sorted."""
    monkeypatch.setattr(occurrences_module, "_INDEXED", 2)
    choose = random.Random(0)
    for _ in range(100):
        text = "".join(choose.choices(alphabet, k=choose.randint(1, 60)))
        index = occurrences_module._SortedPositions(text)
        for _ in range(10):
            start = choose.randrange(len(text))
            string = text[start : start + choose.randint(1, 40)]
            string += choose.choice(["", "", "a"])
            expected = [place.start for place in occurrences(text, string)]
            assert index.find(string) == expected


def test_many_long_strings_take_few_comparisons(monkeypatch):
    """The number of scans of the text does not grow with the number of strings."""
    scans = []
    scan = occurrences_module._positions
    monkeypatch.setattr(
        occurrences_module,
        "_positions",
        lambda text, string: (scans.append(string), scan(text, string))[1],
    )
    choose = random.Random(0)
    text = "".join(choose.choices("abcdefgh ", k=30_000))
    search = occurrences_module.TextSearch(text)
    for start in range(0, len(text) - 200, 60):
        string = text[start : start + 40 + start % 100]
        assert start in search.find(string)
        assert search.find(string + "!") == []
    assert len(scans) <= 64
