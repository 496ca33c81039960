"""Repair of answers that differ from the text: scripts, equivalent text, loose tags."""

import json
import random
import unicodedata

import pytest
from formats_cases import JSON

from spacy_genner.formats import CharSpan, crossings, drop_crossing, get_format
from spacy_genner.formats.base import NestedSpans, first_crossing
from spacy_genner.formats.words import split_words

LABELS = ["GPE", "ORG", "PER"]


def parse(output, text, name="inline_bracketed", labels=LABELS):
    parsed = get_format(name).parse(output, text, labels)
    found = [(text[span.start : span.end], span.label) for span in parsed.spans]
    return found, [issue.code for issue in parsed.issues]


@pytest.mark.parametrize(
    ("text", "output", "spans"),
    [
        # Punctuation that differs, is missing or is added.
        (
            "我在北京，他在上海。",
            "我在[北京 | GPE],他在[上海 | GPE]。",
            [("北京", "GPE"), ("上海", "GPE")],
        ),
        (
            "我在北京，他在上海。",
            "我在[北京 | GPE]、他在[上海 | GPE]",
            [("北京", "GPE"), ("上海", "GPE")],
        ),
        (
            "ผมอยู่ที่กรุงเทพครับ",
            "ผมอยู่[กรุงเทพ | GPE]ครับผม",
            [("กรุงเทพ", "GPE")],
        ),
        ("東京に住んでいます。", "[東京 | GPE]にすんでいます", [("東京", "GPE")]),
        # Other characters for the same number of characters, within a longer name.
        ("我住在台灣大學。", "我住在[台湾大学 | ORG]。", [("台灣大學", "ORG")]),
        # A span inside a replaced stretch is dropped or cut, and never widened.
        ("我在北京很大。", "我在[上海 | GPE]。", []),
        ("我在北京很大。", "我在[上海 | GPE]很大。", []),
        ("他在北京很大的大学学习", "他在[上海大学 | ORG]学习", [("大学", "ORG")]),
        ("He is in the city of Porto now", "He is [here now | GPE]", [("now", "GPE")]),
        ("the capital of Portugal won", "the [USA | GPE] won", []),
        # Words that are split or joined represent the same text.
        (
            "binds NF-kappa B well",
            "binds [NF-kappaB | PER] well",
            [("NF-kappa B", "PER")],
        ),
        ("हिन्दी भाषा है", "[हिन्दी | GPE] भाषा हैं", [("हिन्दी", "GPE")]),
    ],
)
def test_spans_are_aligned_and_never_widened(text, output, spans):
    found, codes = parse(output, text)
    assert found == spans
    assert codes


PAIRS = [
    ("S\u00e3o Paulo", "Sa\u0303o Paulo"),
    ("\ud55c\uad6d", unicodedata.normalize("NFD", "\ud55c\uad6d")),
    ("Vi\u1ec7t Nam", "Vie\u0323\u0302t Nam"),
    ("Lisbon", "Lis\u00adbon"),
    ("Lisbon", "Lis\u200bbon"),
    ("King's Cross", "King\u2019s Cross"),
    ('the "Mill" Inc', "the \u201cMill\u201d Inc"),
    ("Aix-en-Provence", "Aix\u2011en\u2013Provence"),
    ("NHK 2", "\uff2e\uff28\uff2b\u3000\uff12"),
    ("St. Ives", "St.\u00a0Ives"),
]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", ["inline_bracketed", "inline_xml", *JSON])
def test_equivalent_text_is_found_and_reported(name, pair, swapped):
    written, there = reversed(pair) if swapped else pair
    fmt = get_format(name)
    start = len("Then ")
    copy, text = f"Then {written} rose.", f"Then {there} rose."
    output = fmt.render(copy, [CharSpan(start, start + len(written), "GPE")], LABELS)
    found, codes = parse(output, text, name)
    assert found == [(there, "GPE")]
    assert "copy_differs" in codes
    assert set(codes) <= {"copy_differs", "offset_moved"}


@pytest.mark.parametrize(
    ("name", "old", "new", "codes"),
    [
        ("inline_bracketed", " | GPE]", " | gpe]", {"copy_differs"}),
        ("inline_bracketed", " | GPE]", "|GPE]", {"copy_differs"}),
        ("inline_bracketed", " | GPE]", " | GPE ]", {"copy_differs"}),
        ("inline_bracketed", " | GPE]", "  |gpe]", {"copy_differs"}),
        ("inline_xml", "GPE", "gpe", {"copy_differs"}),
        ("inline_xml", "<GPE>", "<gpe>", {"copy_differs"}),
        ("inline_xml", "</GPE>", "</ Gpe >", {"copy_differs"}),
        ("grouped_json", "GPE", "gpe", {"copy_differs"}),
        ("occurrence_json", "GPE", "gpe", {"copy_differs"}),
        ("offset_json", "GPE", " Gpe", {"copy_differs"}),
    ],
)
def test_labels_and_tags_match_where_unambiguous(name, old, new, codes):
    text = "Lisbon hosts the University of Lisbon."
    spans = [
        CharSpan(0, 6, "GPE"),
        CharSpan(17, 37, "ORG"),
        CharSpan(31, 37, "GPE"),
    ]
    fmt = get_format(name)
    output = fmt.render(text, spans, LABELS).replace(old, new)
    parsed = fmt.parse(output, text, LABELS)
    assert parsed.spans == spans
    assert {issue.code for issue in parsed.issues} == codes
    # Two labels that differ in case only are not confused.
    parsed = fmt.parse(output.replace(new, new.title()), text, ["GPE", "gPE", "ORG"])
    if "gpe" in new:
        assert parsed.spans == spans[1:2]


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("inline_bracketed", "The [University of [Lisbon] | ORG]."),
        ("inline_bracketed", "The [University of [Lisbon|foo] | ORG]."),
        ("inline_bracketed", "The [University of [Lisbon | ] | ORG]."),
        ("inline_xml", "The <ORG>University of <foo>Lisbon</foo></ORG>."),
    ],
)
def test_nested_span_without_a_known_label_leaves_the_outer_one(name, output):
    found, codes = parse(output, "The University of Lisbon.", name)
    assert found == [("University of Lisbon", "ORG")]
    assert codes


def quadratic_crossings(spans):
    ordered = sorted(spans, key=lambda span: (span[0], -span[1]))
    return [
        (one, two)
        for index, one in enumerate(ordered)
        for two in ordered[index + 1 :]
        if one[0] < two[0] < one[1] < two[1]
    ]


def test_crossings_are_found_and_dropped():
    choose = random.Random(0)
    for _ in range(500):
        spans = []
        for _ in range(choose.randint(0, 10)):
            start = choose.randint(0, 10)
            spans.append(
                CharSpan(start, start + choose.randint(1, 6), choose.choice("AB"))
            )
        expected = quadratic_crossings(spans)
        assert crossings(spans) == expected
        first = first_crossing(spans)
        assert (first in expected) if expected else first is None
        kept, dropped = drop_crossing(spans)
        assert sorted(kept + dropped) == sorted(spans)
        assert not quadratic_crossings(kept)
        for span in dropped:
            longer = [k for k in kept if k.end - k.start >= span.end - span.start]
            assert quadratic_crossings([*longer, span])


def test_nested_spans_are_numbered_in_order():
    nested = NestedSpans([(0, 10), (2, 5), (4, 7)])
    assert nested.crossed(4, 7) is None
    nested.add(2, 5)
    nested.add(0, 10)
    assert nested.crossed(4, 7) == 0


@pytest.mark.parametrize("name", JSON)
def test_many_strings_are_found(name):
    text = " ".join(f"w{index}" for index in range(100, 400))
    fmt = get_format(name)
    spans = []
    for word in split_words(text):
        spans.append(CharSpan(word.start, word.end, "GPE"))
    assert fmt.parse(fmt.render(text, spans, LABELS), text, LABELS) == (spans, [])


def inline_repetitive(size):
    text = "a b " * size
    return "inline_bracketed", "x " + "b a " * size, text


def inline_unbalanced(size):
    return "inline_xml", "<A>a " * size + "b</B> " * size, "a " * size + "b " * size


def inline_missing_word(size):
    copy = " ".join(["[Ann | GPE] met [Bob | GPE]"] * size)
    return "inline_bracketed", copy.replace("met ", "", 1), "Ann met Bob " * size


def inline_nested(size):
    copy = "".join(f"[w{i} " for i in range(size)) + "x" + " | GPE]" * size
    return "inline_bracketed", copy, " ".join(f"w{i}" for i in range(size))


def json_quote(size):
    string = "ab " * size + "End"
    entry = {"text": string, "label": "GPE", "start": 1, "end": 2}
    return "offset_json", json.dumps([entry]), "ab " * size + "end"


def json_entries(size):
    entries = [{"text": "w", "label": "GPE"}] * size
    return "occurrence_json", json.dumps(entries), "xw " * size


@pytest.mark.parametrize(
    "case",
    [
        inline_repetitive,
        inline_unbalanced,
        inline_missing_word,
        inline_nested,
        json_quote,
        json_entries,
    ],
)
def test_the_work_is_bounded(case, processor_seconds):
    """Each of these took between ten seconds and hours."""
    name, output, text = case(5000)
    parse = get_format(name).parse
    assert processor_seconds(parse, output, text, ["GPE", "A", "B"]) < 10


@pytest.mark.parametrize(
    ("text", "output", "spans"),
    [
        # Particles and endings after a span, in one word of the text.
        (
            "서울에서 서울에서 왔다.",
            "[서울 | gpe]에서 서울에서 왔다.",
            [("서울", "GPE")],
        ),
        (
            "Die Züricher sind hier.",
            "Die [Zürich|GPE]er sind hier",
            [("Zürich", "GPE")],
        ),
        (
            "an uncells.",
            "an [un[cell | PER]s | ORG]",
            [("uncells", "ORG"), ("cell", "PER")],
        ),
        # One word is divided at several places, in different ways.
        (
            "abcd abcd abcd.",
            "[ab | gpe]cd a[b | PER]cd abc[d | ORG]",
            [("ab", "GPE"), ("b", "PER"), ("d", "ORG")],
        ),
        # A part of a ligature is no span.
        ("oﬃce x y.", "[of | GPE]fice x y", []),
        ("oﬃce x y.", "[oﬃ | GPE]ce x y", [("oﬃ", "GPE")]),
    ],
)
def test_a_word_with_a_tag_inside_is_divided(text, output, spans):
    for form in ("NFC", "NFD"):
        found, codes = parse(unicodedata.normalize(form, output), text)
        assert found == spans and codes


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("inline_bracketed", "［Lisbon ｜ GPE］ x"),
        ("inline_bracketed", "[Lisbon ｜ GPE] x"),
        ("inline_bracketed", "[Lisbon | **GPE**] x"),
        ("inline_bracketed", '[Lisbon | "gpe"] x'),
        ("inline_bracketed", "[Lisbon | GPE.] x"),
        ("inline_xml", '<GPE kind="city">Lisbon</GPE> x'),
        ("inline_xml", "＜GPE＞Lisbon＜/GPE＞ x"),
        ("grouped_json", "{“GPE”: [“Lisbon”]}"),
        ("grouped_json", '{"**GPE**": ["Lisbon"]}'),
    ],
)
def test_other_marks_match_where_unambiguous(name, output):
    found, codes = parse(output, "Lisbon x", name)
    assert found == [("Lisbon", "GPE")] and codes
    # The same characters in the text are text.
    if name.startswith("inline"):
        found, codes = parse(output, output, name)
        assert found == [] or "copy_differs" not in codes


@pytest.mark.parametrize("written", ["cell_line", "cell-line", "CellLine", "Cell–Line"])
def test_labels_of_several_words(written):
    labels = ["cell line", "cell type"]
    found, codes = parse(f"[HeLa | {written}] x", "HeLa x", labels=labels)
    assert (found, codes) == ([("HeLa", "cell line")], ["copy_differs"])
    found, codes = parse(
        f"[HeLa | {written}] x", "HeLa x", labels=[*labels, "cell/line", "cellline"]
    )
    assert (found, codes) == ([], ["unknown_label"])
