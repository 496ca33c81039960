"""Few-shot examples of the tasks, and their demonstrations."""

import pytest

from spacy_genner.formats import CharSpan, get_format
from spacy_genner.llm.tasks import demonstrations, read_examples

TEXT = "May may visit May's house in Maya."


def entry(*spans, text=TEXT):
    return {"text": text, "spans": list(spans)}


def by_text(text, label="PERSON", **more):
    return {"text": text, "is_entity": True, "label": label, **more}


def spans_of(*spans):
    [shown] = read_examples([entry(*spans)])
    return [tuple(span) for span in shown.spans]


def test_spans_by_offsets():
    span = {"start": 14, "end": 17, "label": "PERSON"}
    assert spans_of(span) == [(14, 17, "PERSON")]


def test_spans_by_text_in_the_format_of_spacy_llm():
    reason = "is the name of a person"
    assert spans_of(
        by_text("May", reason=reason),
        {"text": "may", "is_entity": False, "label": "==NONE=="},
        by_text("May"),
        by_text("Maya", "GPE"),
    ) == [(0, 3, "PERSON"), (14, 17, "PERSON"), (29, 33, "GPE")]


def test_nested_spans_and_spans_out_of_order():
    assert spans_of(by_text("May's house", "FAC"), by_text("May")) == [
        (14, 25, "FAC"),
        (14, 17, "PERSON"),
    ]
    assert spans_of(by_text("Maya", "GPE"), by_text("May"))[1] == (0, 3, "PERSON")


def test_whole_words_are_preferred_to_parts_of_words():
    [shown] = read_examples([entry(by_text("art"), text="Start with art.")])
    assert shown.spans == (CharSpan(11, 14, "PERSON"),)


def test_examples_from_a_reader_and_without_examples():
    assert read_examples(lambda: [entry()])[0].text == TEXT
    assert read_examples(None) == []
    shown = read_examples([entry(by_text("May"))])
    assert read_examples([each.to_json() for each in shown]) == shown


@pytest.mark.parametrize(
    "broken, message",
    [
        ({"text": TEXT}, "'spans' is missing"),
        ({"spans": []}, "'text' is missing"),
        (entry({"text": "May"}), "'label' is missing"),
        (entry(by_text("June")), "'June' is not in the text"),
        (entry(by_text("")), "'' is not in the text"),
        (entry({"start": "x", "end": 3, "label": "A"}), "x"),
        (entry(text=3), "its text is 3"),
        ("text", "example 1|Example 1|indices"),
    ],
)
def test_invalid_examples(broken, message):
    with pytest.raises(ValueError, match=f"G733.*({message})"):
        read_examples([entry(), broken] if isinstance(broken, dict) else [broken])


def make_demonstrations(spans, name="inline_bracketed", labels=("PERSON", "GPE")):
    return demonstrations(read_examples([entry(*spans)]), get_format(name), labels)


def test_demonstrations_of_examples():
    [shown] = make_demonstrations([by_text("May"), by_text("Maya", "GPE")])
    assert shown == (TEXT, "[May | PERSON] may visit May's house in [Maya | GPE].")
    [shown] = make_demonstrations([by_text("May")], "grouped_json")
    assert shown.output == '{"PERSON": ["May"], "GPE": []}'


@pytest.mark.parametrize(
    "spans, name, message",
    [
        ([by_text("May", "X")], "inline_bracketed", "not among the labels"),
        ([{"start": 3, "end": 5, "label": "GPE"}], "inline_bracketed", "G002"),
        ([{"start": 3, "end": 99, "label": "GPE"}], "inline_bracketed", "G001"),
        (
            [
                {"start": 0, "end": 7, "label": "GPE"},
                {"start": 4, "end": 13, "label": "GPE"},
            ],
            "inline_xml",
            "G004",
        ),
        (
            [{"start": 29, "end": 32, "label": "GPE"}],
            "grouped_json",
            "cannot represent 'May'",
        ),
    ],
)
def test_demonstrations_that_are_not_representable(spans, name, message):
    with pytest.raises(ValueError, match=f"G733.*{message}"):
        make_demonstrations(spans, name)
