"""Rendering, and parsing of rendered outputs."""

from itertools import combinations, product

import pytest
from formats_cases import EXPECTED, INLINE, JSON, SPANS, TEXT, texts_with_spans
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_genner.formats import FORMATS, CharSpan, crossings, drop_crossing, get_format


@pytest.mark.parametrize("name", FORMATS)
def test_example_is_rendered_exactly(name):
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
def test_rendered_outputs_are_parsed_back(name, data):
    text, spans = data.draw(texts_with_spans(name))
    fmt = get_format(name)
    lost = fmt.unsayable(text, spans)
    kept = [span for span in spans if span not in lost]
    for labels in (None, ["A", "B"], ["B", "A"]):
        output = fmt.render(text, kept, labels)
        parsed = fmt.parse(output, text, labels)
        # An ambiguous string is reported even if it is assigned correctly.
        codes = {issue.code for issue in parsed.issues}
        assert codes <= ({"ambiguous_place"} if name == "grouped_json" else set())
        assert set(parsed.spans) == set(kept)
        assert fmt.render(text, parsed.spans, labels) == output


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_only_lost_spans_are_not_representable(name, data):
    text, spans = data.draw(texts_with_spans(name))
    fmt = get_format(name)
    lost = fmt.unsayable(text, spans)
    if name in INLINE:
        for span in lost:
            parsed = fmt.parse(fmt.render(text, [span]), text)
            assert parsed.spans != [span] or parsed.issues
    elif name == "grouped_json":
        for span in lost:
            # The place of an entry depends on the other entries with its string.
            group = [
                each
                for each in spans
                if label_and_string(text, each) == label_and_string(text, span)
            ]
            assert set(read_back(text, group)) != set(group)
    else:
        assert lost == []


def label_and_string(text, span):
    return span.label, text[span.start : span.end]


def read_back(text, spans):
    """The spans that a grouped output recovers."""
    fmt = get_format("grouped_json")
    return frozenset(fmt.parse(fmt.render(text, spans), text).spans)


@pytest.mark.parametrize("string", ["x", "xx"])
def test_grouped_json_represents_as_many_spans_as_possible(string):
    """For every set of places in every small text, the spans that are not reported as
    lost are the largest subset that is parsed back."""
    fmt = get_format("grouped_json")
    some_lost = False
    for size in range(1, 7):
        for text in map("".join, product("xy ", repeat=size)):
            starts = [i for i in range(size) if text.startswith(string, i)]
            places = [CharSpan(i, i + len(string), "A") for i in starts]
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
def test_first_of_two_labels_on_one_range_is_the_inner(name, expected):
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
def test_invalid_spans_raise(name, span, code):
    with pytest.raises(ValueError, match=code):
        get_format(name).render("x y z", [CharSpan(*span)])


@pytest.mark.parametrize("name", INLINE)
def test_crossing_spans_raise_in_inline_formats(name):
    spans = [CharSpan(0, 3, "A"), CharSpan(2, 5, "B")]
    with pytest.raises(ValueError, match="G004"):
        get_format(name).render("x y z", spans)


@pytest.mark.parametrize("name", JSON)
def test_crossing_spans_are_represented_in_json(name):
    spans = [CharSpan(0, 3, "A"), CharSpan(2, 5, "B")]
    fmt = get_format(name)
    parsed = fmt.parse(fmt.render("x y z", spans), "x y z", ["A", "B"])
    assert parsed == (spans, [])


@pytest.mark.parametrize(
    ("name", "label"),
    [("inline_bracketed", bad) for bad in ["", " A", "A ", "a|b", "[", "]", "a\nb"]]
    + [("inline_xml", bad) for bad in ["", "a b", "1a", "a>", "-a", "a&b"]],
)
def test_illegal_labels_raise(name, label):
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
def test_legal_labels_are_accepted(name, label):
    fmt = get_format(name)
    fmt.check_label(label)
    spans = [CharSpan(0, 1, label)]
    assert fmt.parse(fmt.render("x y", spans), "x y").spans == spans


def test_unknown_format_raises():
    with pytest.raises(ValueError, match="G005.*inline_bracketed"):
        get_format("yaml")


def test_crossings_and_drop_crossing():
    a, b, c = CharSpan(0, 5, "A"), CharSpan(3, 6, "B"), CharSpan(1, 2, "C")
    assert crossings([c, b, a]) == [(a, b)]
    assert drop_crossing([a, b, c]) == ([c, a], [b]) or drop_crossing([a, b, c]) == (
        [a, c],
        [b],
    )
    assert crossings([CharSpan(0, 2, "A"), CharSpan(2, 4, "B")]) == []
