"""Texts with spans, shared by the tests of the formats."""

from hypothesis import strategies as st

from spacy_genner.formats import CharSpan, crossings

TEXT = "Lisbon hosts the University of Lisbon."
SPANS = [CharSpan(31, 37, "GPE"), CharSpan(17, 37, "ORG"), CharSpan(0, 6, "GPE")]
EXPECTED = {
    "inline_bracketed": (
        "[Lisbon | GPE] hosts the [University of [Lisbon | GPE] | ORG]."
    ),
    "inline_xml": (
        "<GPE>Lisbon</GPE> hosts the <ORG>University of <GPE>Lisbon</GPE></ORG>."
    ),
    "grouped_json": '{"ORG": ["University of Lisbon"], "GPE": ["Lisbon", "Lisbon"]}',
    "occurrence_json": (
        '[{"text": "Lisbon", "label": "GPE", "occurrence_index": 1}, '
        '{"text": "University of Lisbon", "label": "ORG", "occurrence_index": 1}, '
        '{"text": "Lisbon", "label": "GPE", "occurrence_index": 2}]'
    ),
    "offset_json": (
        '[{"text": "Lisbon", "label": "GPE", "start": 0, "end": 6}, '
        '{"text": "University of Lisbon", "label": "ORG", "start": 17, "end": 37}, '
        '{"text": "Lisbon", "label": "GPE", "start": 31, "end": 37}]'
    ),
}
INLINE = ("inline_bracketed", "inline_xml")
JSON = ("grouped_json", "occurrence_json", "offset_json")
PARTS = {
    "inline_bracketed": [
        "[",
        "]",
        "|",
        " ",
        "A",
        "B",
        "x",
        " | A]",
        " | B]",
        "[x",
        "\n",
    ],
    "inline_xml": ["<", ">", "/", " ", "A", "B", "x", "<A>", "</A>", "</B>", "<B", "&"],
    **dict.fromkeys(
        JSON,
        ["{", "}", "[", "]", '"', "\\", ",", ":", " ", "A", "x", "xx", "\n", "é", "1"],
    ),
}


def nested_spans(draw, text, labels, crossing=False):
    """Draw spans without white space at their ends; nested unless they may cross."""
    spans: list[CharSpan] = []
    for _ in range(draw(st.integers(0, 5)) if text else 0):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        span = CharSpan(start, end, draw(st.sampled_from(labels)))
        inside = text[start:end]
        fits = crossing or not crossings([*spans, span])
        if inside.strip() == inside and fits:
            spans.append(span)
    return list(dict.fromkeys(spans))


@st.composite
def texts_with_spans(draw, name):
    text = "".join(draw(st.lists(st.sampled_from(PARTS[name]), max_size=9)))
    return text, nested_spans(draw, text, ["A", "B"], crossing=name in JSON)
