"""Texts with spans for the tests of the formats."""

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
}
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
}


def nested_spans(draw, text, labels):
    """Spans that do not cross, without blank edges."""
    spans: list[CharSpan] = []
    for _ in range(draw(st.integers(0, 5)) if text else 0):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        span = CharSpan(start, end, draw(st.sampled_from(labels)))
        inside = text[start:end]
        if inside.strip() == inside and not crossings([*spans, span]):
            spans.append(span)
    return list(dict.fromkeys(spans))


@st.composite
def marked_texts(draw, name):
    text = "".join(draw(st.lists(st.sampled_from(PARTS[name]), max_size=9)))
    return text, nested_spans(draw, text, ["A", "B"])
