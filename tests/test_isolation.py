"""Work in which one item's failure is its own."""

import pytest

from spacy_genner.isolation import isolated


def lost(item, error):
    return f"{item}: {error}"


def test_together_where_nothing_fails():
    calls = []
    assert isolated(lambda items: calls.append(items) or items, "abc", lost) == [*"abc"]
    assert calls == ["abc"]
    assert isolated(lambda items: 1 / 0, [], lost) == []


def test_alone_where_one_fails():
    calls = []

    def work(items):
        calls.append(list(items))
        return [6 // item for item in items]

    found = isolated(work, [1, 0, 3], lost)
    assert found == [6, "0: integer division or modulo by zero", 2]
    assert calls == [[1, 0, 3], [1], [0], [3]]


def test_a_stop_by_the_user_is_no_failure():
    def work(items):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        isolated(work, [1, 2], lost)
