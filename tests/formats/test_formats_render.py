"""Rendering, and reading back what was rendered."""

from itertools import combinations, product

import pytest
from formats_cases import EXPECTED, INLINE, JSON, SPANS, TEXT, marked_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_genner.formats import FORMATS, CharSpan, crossings, drop_crossing, get_format


@pytest.mark.parametrize("name", FORMATS)
def test_the_example_to_the_character(name):
    fmt = get_format(name)
    labels = ["ORG", "GPE"]
    assert fmt.render(TEXT, SPANS, labels) == EXPECTED[name]
    parsed = fmt.parse(EXPECTED[name], TEXT, labels)
    assert parsed.spans == [SPANS[2], SPANS[1], SPANS[0]]
    assert parsed.issues == []
    assert fmt.unsayable(TEXT, SPANS) == []


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_what_is_rendered_is_read_back(name, data):
    text, spans = data.draw(marked_texts(name))
    fmt = get_format(name)
    lost = fmt.unsayable(text, spans)
    kept = [span for span in spans if span not in lost]
    for labels in (None, ["A", "B"], ["B", "A"]):
        output = fmt.render(text, kept, labels)
        parsed = fmt.parse(output, text, labels)
        # What a list of strings leaves open is said, also where it is read rightly.
        codes = {issue.code for issue in parsed.issues}
        assert codes <= ({"ambiguous_place"} if name == "grouped_json" else set())
        assert set(parsed.spans) == set(kept)
        assert fmt.render(text, parsed.spans, labels) == output


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_only_spans_that_are_lost_are_unsayable(name, data):
    text, spans = data.draw(marked_texts(name))
    fmt = get_format(name)
    lost = fmt.unsayable(text, spans)
    if name in INLINE:
        for span in lost:
            parsed = fmt.parse(fmt.render(text, [span]), text)
            assert parsed.spans != [span] or parsed.issues
    elif name == "grouped_json":
        for span in lost:
            # Which place an entry has depends on the others with its string.
            group = [each for each in spans if key(text, each) == key(text, span)]
            assert set(read_back(text, group)) != set(group)
    else:
        assert lost == []


def key(text, span):
    return span.label, text[span.start : span.end]


def read_back(text, spans):
    """What a list of strings says of some spans."""
    fmt = get_format("grouped_json")
    return frozenset(fmt.parse(fmt.render(text, spans), text).spans)


@pytest.mark.parametrize("said", ["x", "xx"])
def test_lists_of_strings_say_as_many_spans_as_they_can(said):
    """Every choice of places, in every small text: no larger part of it is read back
    than what is left of it without its unsayable spans."""
    fmt = get_format("grouped_json")
    some_lost = False
    for size in range(1, 7):
        for text in map("".join, product("xy ", repeat=size)):
            starts = [i for i in range(size) if text.startswith(said, i)]
            places = [CharSpan(i, i + len(said), "A") for i in starts]
            choices = [
                frozenset(choice)
                for count in range(len(places) + 1)
                for choice in combinations(places, count)
            ]
            exact = [choice for choice in choices if read_back(text, choice) == choice]
            for choice in choices:
                kept = choice.difference(fmt.unsayable(text, choice))
                assert kept in exact
                assert len(kept) == max(len(e) for e in exact if e <= choice)
                some_lost |= kept != choice
    assert some_lost


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("inline_bracketed", "[[x | A] | B]"),
        ("inline_xml", "<B><A>x</A></B>"),
    ],
)
def test_of_two_labels_on_one_range_the_first_is_the_inner(name, expected):
    fmt = get_format(name)
    spans = [CharSpan(0, 1, "B"), CharSpan(0, 1, "A")]
    assert fmt.render("x", spans) == expected
    assert fmt.render("x", spans, ["A", "B"]) == expected
    assert fmt.render("x", spans, ["B", "A"]) != expected
    assert fmt.parse(expected, "x").spans == [spans[1], spans[0]]
    assert fmt.parse(expected, "x", ["B", "A"]).issues


@pytest.mark.parametrize("name", FORMATS)
def test_duplicates_are_dropped(name):
    fmt = get_format(name)
    once = fmt.render("x y", [CharSpan(0, 1, "A")])
    assert fmt.render("x y", [CharSpan(0, 1, "A")] * 2) == once


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("span", "code"),
    [
        ((0, 0, "A"), "G001"),
        ((2, 1, "A"), "G001"),
        ((-1, 1, "A"), "G001"),
        ((0, 9, "A"), "G001"),
        ((0, 2, "A"), "G002"),
        ((1, 3, "A"), "G002"),
    ],
)
def test_spans_that_are_none_are_refused(name, span, code):
    with pytest.raises(ValueError, match=code):
        get_format(name).render("x y z", [CharSpan(*span)])


@pytest.mark.parametrize("name", INLINE)
def test_crossing_spans_are_refused_inline(name):
    spans = [CharSpan(0, 3, "A"), CharSpan(2, 5, "B")]
    with pytest.raises(ValueError, match="G004"):
        get_format(name).render("x y z", spans)


@pytest.mark.parametrize("name", JSON)
def test_crossing_spans_are_listed(name):
    spans = [CharSpan(0, 3, "A"), CharSpan(2, 5, "B")]
    fmt = get_format(name)
    parsed = fmt.parse(fmt.render("x y z", spans), "x y z", ["A", "B"])
    assert parsed == (spans, [])


@pytest.mark.parametrize(
    ("name", "label"),
    [("inline_bracketed", bad) for bad in ["", " A", "A ", "a|b", "[", "]", "a\nb"]]
    + [("inline_xml", bad) for bad in ["", "a b", "1a", "a>", "-a", "a&b"]],
)
def test_labels_that_cannot_stand_are_refused(name, label):
    with pytest.raises(ValueError, match="G003"):
        get_format(name).check_label(label)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("inline_bracketed", "B-cell:x"),
        ("inline_bracketed", "two words"),
        ("inline_bracketed", "é"),
        ("inline_xml", "cell_line"),
        ("inline_xml", "_a.b-c1"),
    ],
)
def test_labels_that_can_stand_are_taken(name, label):
    fmt = get_format(name)
    fmt.check_label(label)
    spans = [CharSpan(0, 1, label)]
    assert fmt.parse(fmt.render("x y", spans), "x y").spans == spans


def test_unknown_format_is_refused():
    with pytest.raises(ValueError, match="G005.*inline_bracketed"):
        get_format("yaml")


def test_crossings_and_what_is_dropped():
    a, b, c = CharSpan(0, 5, "A"), CharSpan(3, 6, "B"), CharSpan(1, 2, "C")
    assert crossings([c, b, a]) == [(a, b)]
    assert drop_crossing([a, b, c]) == ([c, a], [b]) or drop_crossing([a, b, c]) == (
        [a, c],
        [b],
    )
    assert crossings([CharSpan(0, 2, "A"), CharSpan(2, 4, "B")]) == []
