"""Edits of spans."""

import pytest

from spacy_genner.app.edits import (
    ACCEPTED,
    ADDED,
    CHANGED,
    REJECTED,
    SUGGESTED,
    Editor,
    ReviewSpan,
    TokenGrid,
    accept_all,
    find,
    sorted_spans,
)
from spacy_genner.formats import get_format

TEXT = "The  University of Porto\nis old ."
WORDS = [(0, 3), (3, 4), (5, 15), (16, 18), (19, 24), (24, 25), (25, 27), (28, 31)]
GRID = TokenGrid(TEXT, [*WORDS, (32, 33)])
ORG = ReviewSpan(5, 24, "ORG", 0.75)
GPE = ReviewSpan(19, 24, "GPE", 0.5)
SPANS = (ORG, GPE)
EDITOR = Editor(get_format("inline_bracketed"))


def words(spans):
    return [(TEXT[s.start : s.end], s.label, s.score, s.state) for s in spans]


def test_white_space_is_no_token():
    assert len(GRID) == 7
    assert GRID.range(1, 3) == (5, 24)


@pytest.mark.parametrize(
    "start, end, expected",
    [
        (5, 24, (1, 4)),
        (6, 7, (1, 2)),
        (4, 5, (1, 1)),
        (14, 20, (1, 4)),
        (32, 33, (6, 7)),
    ],
)
def test_the_tokens_that_cover_a_range(start, end, expected):
    assert GRID.covering(start, end) == expected


@pytest.mark.parametrize("first, last", [(-1, 0), (2, 1), (0, 7)])
def test_a_range_without_tokens_is_refused(first, last):
    with pytest.raises(ValueError, match="G888"):
        GRID.range(first, last)


@pytest.mark.parametrize(
    "span, side, step, expected",
    [
        (GPE, "start", -1, "of Porto"),
        (ORG, "start", 1, "of Porto"),
        (ORG, "start", -1, "The  University of Porto"),
        (GPE, "end", 1, "Porto\nis"),
        (ORG, "end", -1, "University of"),
        # A boundary inside of a token moves to the next one.
        (ReviewSpan(7, 17, "X"), "start", -1, "University o"),
        (ReviewSpan(7, 17, "X"), "end", 1, "iversity of"),
        (ReviewSpan(7, 17, "X"), "end", -1, "iversity"),
    ],
)
def test_boundaries_move_by_tokens(span, side, step, expected):
    start, end = GRID.moved(span, side, step)
    assert TEXT[start:end] == expected


@pytest.mark.parametrize(
    "span, side, step",
    [
        (GPE, "start", 1),
        (GPE, "end", -1),
        (ReviewSpan(0, 3, "X"), "start", -1),
        (ReviewSpan(32, 33, "X"), "end", 1),
    ],
)
def test_a_boundary_without_a_place_is_refused(span, side, step):
    with pytest.raises(ValueError, match="G888"):
        GRID.moved(span, side, step)


def test_add():
    spans = EDITOR.add(TEXT, SPANS, 0, 24, "ORG")
    assert words(spans) == [
        ("The  University of Porto", "ORG", None, ADDED),
        ("University of Porto", "ORG", 0.75, SUGGESTED),
        ("Porto", "GPE", 0.5, SUGGESTED),
    ]
    assert SPANS == (ORG, GPE)


def test_two_labels_on_one_range():
    spans = EDITOR.add(TEXT, SPANS, 19, 24, "ORG")
    assert [s.label for s in spans] == ["ORG", "GPE", "ORG"]


@pytest.mark.parametrize(
    "start, end, label, code",
    [
        (5, 24, "ORG", "G887"),
        (16, 31, "DATE", "G886"),
        (0, 18, "DATE", "G886"),
        (0, 3, "a]b", "G003"),
        (0, 3, "", "G003"),
    ],
)
def test_what_can_not_be_added(start, end, label, code):
    with pytest.raises(ValueError, match=code):
        EDITOR.add(TEXT, SPANS, start, end, label)


def test_a_json_format_takes_crossing_spans():
    editor = Editor(get_format("offset_json"))
    assert len(editor.add(TEXT, SPANS, 16, 31, "DATE")) == 3


def test_relabel_drops_the_score():
    spans = EDITOR.relabel(TEXT, SPANS, GPE.key, "PLACE")
    assert words(spans)[1] == ("Porto", "PLACE", None, CHANGED)
    # An added span stays one, and the same label accepts a suggestion.
    added = EDITOR.add(TEXT, SPANS, 0, 3, "X")
    assert EDITOR.relabel(TEXT, added, "0-3-X", "Y")[0].state == ADDED
    assert words(EDITOR.relabel(TEXT, SPANS, GPE.key, "GPE"))[1][2:] == (0.5, ACCEPTED)
    with pytest.raises(ValueError, match="G887"):
        EDITOR.relabel(TEXT, EDITOR.add(TEXT, SPANS, 19, 24, "X"), GPE.key, "X")


def test_resize_refuses_crossing_spans():
    spans = EDITOR.resize(TEXT, SPANS, GPE.key, 16, 24)
    assert words(spans)[1] == ("of Porto", "GPE", None, CHANGED)
    with pytest.raises(ValueError, match="G886.*University of Porto"):
        EDITOR.resize(TEXT, SPANS, GPE.key, 16, 27)


def test_reject_and_accept():
    rejected = EDITOR.set_state(TEXT, SPANS, ORG.key, REJECTED)
    assert [s.is_active for s in rejected] == [False, True]
    # A rejected span does not hinder another one, but then can't come back.
    crossing = EDITOR.add(TEXT, rejected, 0, 18, "X")
    with pytest.raises(ValueError, match="G886"):
        EDITOR.set_state(TEXT, crossing, ORG.key, ACCEPTED)
    again = EDITOR.set_state(TEXT, rejected, ORG.key, ACCEPTED)
    assert again[0] == ORG._replace(state=ACCEPTED)
    # Marking it by hand accepts it, too.
    assert EDITOR.add(TEXT, rejected, 5, 24, "ORG") == again


def test_a_change_replaces_an_equal_rejected_span():
    rejected = EDITOR.set_state(TEXT, SPANS, GPE.key, REJECTED)
    added = EDITOR.add(TEXT, rejected, 19, 24, "PLACE")
    assert words(EDITOR.relabel(TEXT, added, "19-24-PLACE", "GPE"))[1:] == [
        ("Porto", "GPE", None, ADDED)
    ]


def test_delete_leaves_no_trace():
    assert EDITOR.delete(SPANS, ORG.key) == (GPE,)
    with pytest.raises(ValueError, match="G895"):
        EDITOR.delete(SPANS, "0-3-ORG")
    with pytest.raises(ValueError, match="G895"):
        find(SPANS, "nonsense")


def test_new_suggestions_keep_what_was_decided():
    spans = EDITOR.set_state(TEXT, SPANS, ORG.key, REJECTED)
    spans = EDITOR.add(TEXT, spans, 25, 31, "MINE")
    suggested = [
        ORG._replace(score=0.9),
        ReviewSpan(0, 3, "NEW", 0.4),
        ReviewSpan(19, 27, "CROSSES", 0.9),
    ]
    merged = EDITOR.merge_suggestions(spans, suggested)
    assert words(merged) == [
        ("The", "NEW", 0.4, SUGGESTED),
        ("University of Porto", "ORG", 0.75, REJECTED),
        ("is old", "MINE", None, ADDED),
    ]


def test_accept_all_leaves_rejected_spans():
    spans = EDITOR.set_state(TEXT, SPANS, ORG.key, REJECTED)
    assert [s.state for s in accept_all(spans)] == [REJECTED, ACCEPTED]


def test_order_of_spans():
    found = sorted_spans([GPE, ReviewSpan(5, 24, "A"), ORG, ReviewSpan(0, 3, "X")])
    assert [s.key for s in found] == ["0-3-X", "5-24-A", "5-24-ORG", "19-24-GPE"]
