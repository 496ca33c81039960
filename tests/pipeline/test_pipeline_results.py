"""Work in which one item's failure is its own."""

import pytest

from spacy_genner.pipeline.results import map_with_fallback


def lost(item, error):
    return f"{item}: {error}"


def test_together_where_nothing_fails():
    calls = []
    assert map_with_fallback(
        lambda items: calls.append(items) or items, "abc", lost
    ) == [*"abc"]
    assert calls == ["abc"]
    assert map_with_fallback(lambda items: 1 / 0, [], lost) == []


def test_alone_where_one_fails():
    calls = []

    def work(items):
        calls.append(list(items))
        return [6 // item for item in items]

    found = map_with_fallback(work, [1, 0, 3], lost)
    assert found == [6, "0: integer division or modulo by zero", 2]
    assert calls == [[1, 0, 3], [1], [0], [3]]


def test_a_stop_by_the_user_is_no_failure():
    def work(items):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_with_fallback(work, [1, 2], lost)
