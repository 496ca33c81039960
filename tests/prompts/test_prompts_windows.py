"""Properties of every cut of a document into windows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_genner.prompts.windows import WindowSettings, cut


@st.composite
def documents(draw):
    """The arguments of `cut`: the sizes of tokens, whether each is white space, units
    that are cut separately, the maximum size of a window, and the overlap."""
    sizes = draw(st.lists(st.integers(0, 9), min_size=1, max_size=30))
    count = len(sizes)
    blank = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    edges = sorted(draw(st.sets(st.integers(1, count))) | {0, count})
    units = list(zip(edges, edges[1:], strict=False))
    max_tokens = draw(st.integers(1, 25))
    return sizes, blank, units, max_tokens, draw(st.integers(0, max_tokens - 1))


@settings(max_examples=150, deadline=None)
@given(documents())
def test_properties_of_every_cut(document):
    sizes, blank, units, max_tokens, overlap = document
    windows = cut(*document)
    covered = {token for window in windows for token in range(window.start, window.end)}
    assert {i for i in range(len(sizes)) if not blank[i]} <= covered
    for window in windows:
        assert window.start < window.end
        size = sum(sizes[window.start : window.end])
        assert size <= max_tokens or window.end == window.start + 1
    for start, end in units:
        own = [window for window in windows if start <= window.start < end]
        assert all(window.end <= end for window in own)
        assert all(window.cut == (len(own) > 1) for window in own)
        if own:
            assert not blank[own[0].start] and not blank[own[-1].end - 1]
        for left, right in zip(own, own[1:], strict=False):
            # There is no gap between windows, and none contains another.
            assert left.start < right.start <= left.end < right.end
            assert sum(sizes[right.start : left.end]) <= overlap


@settings(max_examples=150, deadline=None)
@given(documents())
def test_one_window_decides_on_each_span(document):
    windows = cut(*document)
    count = len(document[0])
    for start in range(count):
        for end in range(start + 1, count + 1):
            whole = [w for w in windows if w.start <= start and end <= w.end]
            deciding = [w for w in windows if w.decides(start, end)]
            if not whole:
                assert deciding == []
                continue
            distances = [abs(w.start + w.end - start - end) for w in whole]
            assert deciding == [whole[distances.index(min(distances))]]


def test_a_short_last_window_decides_only_within_itself():
    """The middle between two centres may be far outside of their overlap."""
    first, last = cut([1] * 105, [False] * 105, [(0, 105)], 100, 10)
    assert (first.start, first.end, last.start, last.end) == (0, 100, 90, 105)
    assert first.decides(75, 77) and not last.decides(75, 77)
    assert last.decides(99, 101) and not first.decides(99, 101)
    # Both windows contain this span. The one with the nearer centre decides.
    assert last.decides(92, 94) and not first.decides(92, 94)


def test_no_window_contains_another():
    """A long token after a cut reduces the overlap."""
    sizes = [1] * 10 + [9]
    windows = cut(sizes, [False] * 11, [(0, 11)], 10, 4)
    assert [(w.start, w.end) for w in windows] == [(0, 10), (9, 11)]


def test_settings_are_checked():
    made = WindowSettings.from_config({"unit": "doc", "max_tokens": "9", "overlap": 2})
    assert made == WindowSettings(unit="doc", max_tokens=9, overlap=2)
    for wrong, code in (
        ({"unit": "paragraph"}, "G401"),
        ({"max_tokens": 0}, "G402"),
        ({"max_tokens": 8, "overlap": 8}, "G402"),
        ({"overlap": -1}, "G402"),
        ({"size": 3}, "G403.*size"),
        ({"max_tokens": "many"}, "G404.*max_tokens.*many"),
        ({"overlap": None}, "G404"),
    ):
        with pytest.raises(ValueError, match=code):
            WindowSettings.from_config(wrong)
