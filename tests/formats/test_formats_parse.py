"""Parsing of outputs with faults: every fault is reported, and few spans are lost."""

import random

import pytest
from formats_cases import EXPECTED, INLINE, PARTS, TEXT, texts_with_spans
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_genner.formats import FORMATS, CharSpan, get_format

LABELS = ["ORG", "GPE"]
FIRST = CharSpan(0, 6, "GPE")
ORG = CharSpan(17, 37, "ORG")
LAST = CharSpan(31, 37, "GPE")
ALL = [FIRST, ORG, LAST]
CODES = {
    "copy_differs",
    "truncated",
    "unbalanced",
    "unknown_label",
    "not_in_text",
    "duplicate",
    "crossing",
    "extra_text",
    "bad_json",
    "ambiguous_place",
    "offset_moved",
}


def with_fault(name, old, new):
    output = EXPECTED[name].replace(old, new, 1)
    assert output != EXPECTED[name]
    return output


@pytest.mark.parametrize("name", INLINE)
@pytest.mark.parametrize(
    ("old", "new", "spans", "code"),
    [
        ("hosts", "host", ALL, "copy_differs"),
        ("hosts the", "hosts  the", ALL, "copy_differs"),
        (" hosts", "", ALL, "copy_differs"),
        ("hosts", "hosts today", ALL, "copy_differs"),
        ("University", "Univrsity", ALL, "copy_differs"),
        ("ORG", "FOO", None, "unknown_label"),
    ],
)
def test_small_faults_are_repaired_and_reported(name, old, new, spans, code):
    output = with_fault(name, old, new)
    if code == "unknown_label":
        output = output.replace("ORG", "FOO")
    parsed = get_format(name).parse(output, TEXT, LABELS)
    assert parsed.spans == (spans if spans is not None else [FIRST, LAST])
    assert code in {issue.code for issue in parsed.issues}


@pytest.mark.parametrize("name", FORMATS)
def test_prose_around_the_answer_is_extra_text(name):
    output = "Here you are: " + EXPECTED[name] + " I hope that this helps!"
    parsed = get_format(name).parse(output, TEXT, LABELS)
    assert parsed.spans == ALL
    extra = [issue for issue in parsed.issues if issue.code == "extra_text"]
    assert [output[issue.start : issue.end] for issue in extra] == [
        "Here you are:",
        "I hope that this helps!",
    ]


@pytest.mark.parametrize("name", INLINE)
@pytest.mark.parametrize("before", ["", "The text is: ", f"{TEXT}\n"])
def test_plain_copy_before_the_tagged_copy_is_ignored(name, before):
    echo = f"{before}{TEXT}"
    output = f"{echo}\n\n{EXPECTED[name]}"
    parsed = get_format(name).parse(output, TEXT, LABELS)
    assert parsed.spans == ALL
    [issue] = parsed.issues
    assert (issue.code, issue.start, issue.end) == ("extra_text", 0, len(echo))


def test_list_of_spans_after_a_plain_copy_is_not_a_copy():
    parsed = get_format("inline_bracketed").parse(f"{TEXT} [Lisbon | GPE]", TEXT)
    assert parsed.spans == []
    assert {"not_in_text"} <= {issue.code for issue in parsed.issues}


@pytest.mark.parametrize("name", INLINE)
def test_truncated_output_is_reported(name):
    cut = EXPECTED[name].index("Lisbon", 20)
    parsed = get_format(name).parse(EXPECTED[name][:cut], TEXT, LABELS)
    assert parsed.spans == [FIRST]
    assert {"truncated", "unbalanced"} == {issue.code for issue in parsed.issues}


def test_unmatched_tags_are_unbalanced():
    fmt = get_format("inline_bracketed")
    parsed = fmt.parse("[Lisbon hosts the University | ORG] | GPE] of Lisbon.", TEXT)
    assert "unbalanced" in {issue.code for issue in parsed.issues}
    parsed = fmt.parse("[Lisbon hosts the University of Lisbon.", TEXT)
    assert [issue.code for issue in parsed.issues] == ["unbalanced"]
    assert parsed.spans == []


def test_crossing_tags_are_reported():
    fmt = get_format("inline_xml")
    output = "<A>Lisbon <B>hosts</A> the</B> University of Lisbon."
    parsed = fmt.parse(output, TEXT)
    assert "crossing" in {issue.code for issue in parsed.issues}
    assert CharSpan(0, 12, "A") in parsed.spans


@pytest.mark.parametrize("name", INLINE)
def test_repeated_span_is_a_duplicate(name):
    fmt = get_format(name)
    one = fmt.open_tag("GPE") + "Lisbon" + fmt.close_tag("GPE")
    two = fmt.open_tag("GPE") + one + fmt.close_tag("GPE")
    parsed = fmt.parse(TEXT.replace("Lisbon", two, 1), TEXT)
    assert parsed.spans == [FIRST]
    assert [issue.code for issue in parsed.issues] == ["duplicate"]


@pytest.mark.parametrize("name", INLINE)
def test_span_of_other_words_is_not_in_the_text(name):
    fmt = get_format(name)
    extra = " " + fmt.open_tag("GPE") + "Porto" + fmt.close_tag("GPE")
    parsed = fmt.parse(EXPECTED[name] + extra, TEXT, LABELS)
    assert parsed.spans == ALL
    assert "not_in_text" in {issue.code for issue in parsed.issues}


@pytest.mark.parametrize("name", INLINE)
def test_tags_before_the_space_are_moved(name):
    fmt = get_format(name)
    tag = fmt.open_tag("ORG")
    output = EXPECTED[name].replace(" " + tag, tag + " ")
    parsed = fmt.parse(output, TEXT, LABELS)
    assert parsed.spans == ALL
    assert parsed.issues


@pytest.mark.parametrize(
    ("name", "text", "output", "spans"),
    [
        (
            "inline_bracketed",
            "See [3] and | in [a | b] by Ann.",
            "See [3] and | in [a | b] by [Ann | ORG]",
            [(28, 31, "ORG")],
        ),
        (
            "inline_bracketed",
            "x | ORG] y [Ann] z",
            "x | ORG] y [[Ann | ORG]] zz",
            [(12, 15, "ORG")],
        ),
        (
            "inline_xml",
            "if <b> and </b> a < b: Ann",
            "if <b> and </b> a < b: <ORG>Ann</ORG>!",
            [(23, 26, "ORG")],
        ),
    ],
)
def test_faulty_copies_of_sources_with_markup_are_parsed(name, text, output, spans):
    parsed = get_format(name).parse(output, text, LABELS)
    assert parsed.spans == [CharSpan(*span) for span in spans]
    assert parsed.issues


def check_parsed(parsed, fmt, output, text, labels):
    assert parsed.spans == sorted(
        parsed.spans, key=lambda s: (s.start, -s.end, labels.index(s.label))
    )
    assert len(set(parsed.spans)) == len(parsed.spans)
    for span in parsed.spans:
        assert 0 <= span.start < span.end <= len(text)
        inside = text[span.start : span.end]
        assert inside == inside.strip()
        assert span.label in labels
    for issue in parsed.issues:
        assert issue.code in CODES
        assert 0 <= issue.start <= issue.end <= len(output)
    if not parsed.issues:
        assert fmt.render(text, parsed.spans, labels) == output


def check_random_faults(name, data):
    text, spans = data.draw(texts_with_spans(name))
    fmt = get_format(name)
    output = fmt.render(text, spans)
    choose = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(choose.randint(1, 4)):
        at = choose.randint(0, len(output))
        kind = choose.randrange(4)
        if kind == 0:
            output = output[:at] + output[at + choose.randint(1, 4) :]
        elif kind == 1:
            output = output[:at] + choose.choice(PARTS[name]) + output[at:]
        elif kind == 2:
            output = output[:at]
        else:
            output = "Sure: " + output
    check_parsed(fmt.parse(output, text, ["A", "B"]), fmt, output, text, ["A", "B"])


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=2000, deadline=None)
@given(data=st.data())
def test_random_faults_are_parsed_and_reported(name, data):
    check_random_faults(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=10_000, deadline=None)
@given(data=st.data())
def test_random_faults_are_parsed_and_reported_at_length(name, data):
    check_random_faults(name, data)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=1000, deadline=None)
@given(output=st.text(max_size=40), text=st.text(max_size=30))
def test_any_output_is_parsed(name, output, text):
    fmt = get_format(name)
    check_parsed(fmt.parse(output, text, ["A"]), fmt, output, text, ["A"])


@pytest.mark.parametrize("name", FORMATS)
def test_long_sources_are_parsed_quickly(name, processor_seconds):
    choose = random.Random(0)
    words = [
        choose.choice(["the", "cell", "of", "NF-kappa", "B", "in", "."])
        for _ in range(2200)
    ]
    text = " ".join(words)
    fmt = get_format(name)
    output = fmt.render(text, [CharSpan(0, len(words[0]), "A")]).replace(
        "cell", "cells"
    )
    assert processor_seconds(fmt.parse, output, text, ["A"], repeats=3) < 2.0
    parsed = fmt.parse(output, text, ["A"])
    assert CharSpan(0, len(words[0]), "A") in parsed.spans
