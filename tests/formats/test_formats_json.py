"""Parsing of JSON outputs with selected faults."""

import json

import pytest
from formats_cases import EXPECTED, JSON, TEXT

from spacy_genner.formats import CharSpan, get_format

LABELS = ["ORG", "GPE"]
FIRST = CharSpan(0, 6, "GPE")
ORG = CharSpan(17, 37, "ORG")
LAST = CharSpan(31, 37, "GPE")
ALL = [FIRST, ORG, LAST]


def read(name, output, text=TEXT, labels=LABELS):
    if not isinstance(output, str):
        output = json.dumps(output, ensure_ascii=False)
    parsed = get_format(name).parse(output, text, labels)
    return parsed.spans, [issue.code for issue in parsed.issues]


def entry(text, label="GPE", **place):
    return {"text": text, "label": label, **place}


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Here [you] are:\n```json\n", "\n```\nAnything else?"),
        ('{"entities": ', "}"),
        ("", "]"),
        ("[", ""),
    ],
)
def test_text_around_the_answer_is_ignored_and_reported(name, before, after):
    spans, codes = read(name, before + EXPECTED[name] + after)
    assert spans == ALL
    assert codes


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (": ", ":"),
        (", ", ",\n  "),
        ('"', "'"),
        ("]", ",]"),
        ("Lisbon", "LISBON"),
        ("University of", "University  of"),
        ("University of", "University\tof"),
        ('"University', '" University'),
    ],
)
def test_small_faults_are_repaired_and_reported(name, old, new):
    output = EXPECTED[name].replace(old, new)
    assert output != EXPECTED[name]
    spans, codes = read(name, output)
    assert spans == ALL
    assert codes


@pytest.mark.parametrize("name", JSON)
def test_truncation_is_reported_and_keeps_complete_entries(name):
    output = EXPECTED[name]
    for at in range(len(output)):
        spans, codes = read(name, output[:at])
        assert "truncated" in codes
        assert set(spans) <= {*ALL, FIRST}
        if '"University of Lisbon", "label": "ORG"' in output[:at]:
            assert ORG in spans


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("", "truncated"),
        ("There are no entities.", "bad_json"),
        ("[" * 5000, "truncated"),
        ('{"' * 5000, "truncated"),
        ("]}" * 500, "bad_json"),
        ('[{"text": "\\ud800", "label": "GPE"}]', None),
        ('{"GPE": ["\\ud800"]}', None),
    ],
)
def test_output_without_an_answer_has_no_spans(name, output, code):
    spans, codes = read(name, output)
    assert spans == []
    assert codes and (code is None or code in codes)


@pytest.mark.parametrize(
    ("output", "spans", "codes"),
    [
        # With fewer entries than occurrences, words precede parts of words.
        ({"ORG": [], "GPE": ["Rom"]}, [(8, 11)], ["ambiguous_place"]),
        ({"ORG": [], "GPE": ["Rom", "Rom"]}, [(0, 3), (8, 11)], []),
        ({"ORG": [], "GPE": ["Rom"] * 3}, [(0, 3), (8, 11)], ["duplicate"]),
        ({"GPE": ["Rom", "Rom"]}, [(0, 3), (8, 11)], ["bad_json"]),
        ({"GPE": "Rom", "ORG": []}, [(8, 11)], ["bad_json", "ambiguous_place"]),
        ({"ORG": None, "GPE": ["Rom", 3, "Rom"]}, [(0, 3), (8, 11)], ["bad_json"] * 2),
        ({"ORG": ["Paris"], "GPE": []}, [], ["not_in_text"]),
        ({"ORG": [], "GPE": [], "X": []}, [], ["unknown_label"]),
        ({"ORG": [], "GPE": ["rom"]}, [(0, 3)], ["copy_differs"]),
    ],
)
def test_grouped_entries_are_assigned_to_occurrences(output, spans, codes):
    text = "Romania Rom" if "rom" not in str(output) else "Rom"
    found, issues = read("grouped_json", output, text)
    assert found == [CharSpan(*span, "GPE") for span in spans]
    assert sorted(issues) == sorted(codes)


def test_one_string_under_two_labels_has_both_labels():
    output = {"ORG": ["Rom"], "GPE": ["Rom"]}
    spans, codes = read("grouped_json", output, "in Rom")
    assert spans == [CharSpan(3, 6, "ORG"), CharSpan(3, 6, "GPE")]
    assert codes == []


def test_grouped_json_cannot_represent_a_later_occurrence_alone():
    fmt = get_format("grouped_json")
    assert fmt.unsayable(TEXT, [LAST, ORG]) == [LAST]
    assert fmt.unsayable(TEXT, [FIRST]) == []
    # "Rom" as a word takes precedence over "Rom" inside a word.
    spans = [CharSpan(0, 3, "A"), CharSpan(8, 11, "A")]
    assert fmt.unsayable("Romania Rom", spans[:1]) == spans[:1]
    assert fmt.unsayable("Romania Rom", spans) == []


@pytest.mark.parametrize(
    ("place", "span", "codes"),
    [
        ({"occurrence_index": 2}, LAST, []),
        ({"occurrence_index": "2"}, LAST, ["bad_json"]),
        ({"occurrence_index": 2.0}, LAST, ["bad_json"]),
        ({"occurrence_index": 3}, LAST, ["ambiguous_place"]),
        ({"occurrence_index": 0}, FIRST, ["ambiguous_place"]),
        ({"occurrence_index": None}, FIRST, ["ambiguous_place", "bad_json"]),
        ({}, FIRST, ["ambiguous_place", "bad_json"]),
        ({"occurrence_index": 10**400}, FIRST, ["ambiguous_place", "bad_json"]),
    ],
)
def test_occurrence_index_selects_the_occurrence(place, span, codes):
    spans, issues = read("occurrence_json", [entry("Lisbon", **place)])
    assert spans == [span]
    assert sorted(issues) == codes


@pytest.mark.parametrize(
    ("text", "start", "end", "span", "codes"),
    [
        ("Lisbon", 31, 37, LAST, []),
        ("Lisbon", 30, 36, LAST, ["offset_moved"]),
        ("Lisbon", 31, 99, LAST, ["offset_moved"]),
        ("Lisbon", -5, 1, FIRST, ["offset_moved"]),
        # Both occurrences are at the same distance.
        ("aa", 2, 4, CharSpan(0, 2, "GPE"), ["offset_moved"]),
        ("Lisbon", None, 37, LAST, ["bad_json"]),
        ("lisbon", 31, 37, LAST, ["copy_differs"]),
        (" Lisbon", 30, 37, LAST, ["copy_differs", "offset_moved"]),
        ("Porto", 0, 6, None, ["not_in_text"]),
        ("", 0, 0, None, ["not_in_text"]),
    ],
)
def test_offsets_move_to_the_nearest_occurrence(text, start, end, span, codes):
    source = "aa  aa" if text == "aa" else TEXT
    output = [entry(text, start=start, end=end)]
    spans, issues = read("offset_json", output, source)
    assert spans == ([] if span is None else [span])
    assert sorted(issues) == codes


@pytest.mark.parametrize("name", ["occurrence_json", "offset_json"])
def test_incomplete_entries_are_reported(name):
    place = {"occurrence_index": 1, "start": 0, "end": 6}
    output = [
        entry("Lisbon", None, **place),
        entry("Lisbon", "", **place),
        entry("Lisbon", "CITY", **place),
        entry(None, **place),
        entry(["Lisbon"], **place),
        {"text": "Lisbon"},
        entry("Lisbon", **place),
        entry("Lisbon", **place),
    ]
    spans, codes = read(name, output)
    assert spans == [FIRST]
    assert sorted(codes) == ["bad_json"] * 4 + ["duplicate"] + ["unknown_label"] * 2


@pytest.mark.parametrize("name", JSON)
def test_escaped_strings_round_trip(name):
    text = 'He said: "C:\\new\n\u2028[\u0007]" é \U0001f600.'
    fmt = get_format(name)
    spans = [CharSpan(9, 22, 'a "b"\\'), CharSpan(23, 26, "é")]
    output = fmt.render(text, spans)
    assert json.loads(output)
    assert fmt.parse(output, text) == (spans, [])


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("label", ["", None, 3])
def test_any_non_empty_string_is_a_legal_label(name, label):
    fmt = get_format(name)
    fmt.check_label(" a|b]\n")
    with pytest.raises(ValueError, match="G003"):
        fmt.check_label(label)


@pytest.mark.parametrize("name", JSON)
def test_without_labels_any_label_order_is_accepted(name):
    fmt = get_format(name)
    spans = [CharSpan(0, 6, "GPE"), CharSpan(0, 6, "B"), CharSpan(17, 37, "ORG")]
    parsed = fmt.parse(fmt.render(TEXT, spans), TEXT)
    assert set(parsed.spans) == set(spans)
    assert {issue.code for issue in parsed.issues} <= {"ambiguous_place"}
