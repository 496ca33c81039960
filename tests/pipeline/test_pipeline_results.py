"""Per-item fallback: the failure of one item does not affect others."""

import pytest

from spacy_genner.pipeline.results import map_with_fallback


def failed(item, error):
    return f"{item}: {error}"


def test_items_are_processed_together():
    calls = []
    assert map_with_fallback(
        lambda items: calls.append(items) or items, "abc", failed
    ) == [*"abc"]
    assert calls == ["abc"]
    assert map_with_fallback(lambda items: 1 / 0, [], failed) == []


def test_items_are_processed_one_by_one_after_a_failure():
    calls = []

    def work(items):
        calls.append(list(items))
        return [6 // item for item in items]

    found = map_with_fallback(work, [1, 0, 3], failed)
    assert found == [6, "0: integer division or modulo by zero", 2]
    assert calls == [[1, 0, 3], [1], [0], [3]]


def test_a_keyboard_interrupt_is_raised():
    def work(items):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_with_fallback(work, [1, 2], failed)
