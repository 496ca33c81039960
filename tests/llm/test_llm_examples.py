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


def test_offsets():
    said = {"start": 14, "end": 17, "label": "PERSON"}
    assert spans_of(said) == [(14, 17, "PERSON")]


def test_texts_in_their_order_as_spacy_llm_has_them():
    reason = "is the name of a person"
    assert spans_of(
        by_text("May", reason=reason),
        {"text": "may", "is_entity": False, "label": "==NONE=="},
        by_text("May"),
        by_text("Maya", "GPE"),
    ) == [(0, 3, "PERSON"), (14, 17, "PERSON"), (29, 33, "GPE")]


def test_nested_and_out_of_order():
    assert spans_of(by_text("May's house", "FAC"), by_text("May")) == [
        (14, 25, "FAC"),
        (14, 17, "PERSON"),
    ]
    assert spans_of(by_text("Maya", "GPE"), by_text("May"))[1] == (0, 3, "PERSON")


def test_words_come_before_parts_of_words():
    [shown] = read_examples([entry(by_text("art"), text="Start with art.")])
    assert shown.spans == (CharSpan(11, 14, "PERSON"),)


def test_a_reader_is_called_and_nothing_is_none():
    assert read_examples(lambda: [entry()])[0].text == TEXT
    assert read_examples(None) == []
    shown = read_examples([entry(by_text("May"))])
    assert read_examples([each.to_json() for each in shown]) == shown


@pytest.mark.parametrize(
    "broken, said",
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
def test_what_cannot_be_used_is_named(broken, said):
    with pytest.raises(ValueError, match=f"G733.*({said})"):
        read_examples([entry(), broken] if isinstance(broken, dict) else [broken])


def show(spans, name="inline_bracketed", labels=("PERSON", "GPE")):
    return demonstrations(read_examples([entry(*spans)]), get_format(name), labels)


def test_demonstrations():
    [shown] = show([by_text("May"), by_text("Maya", "GPE")])
    assert shown == (TEXT, "[May | PERSON] may visit May's house in [Maya | GPE].")
    [shown] = show([by_text("May")], "grouped_json")
    assert shown.output == '{"PERSON": ["May"], "GPE": []}'


@pytest.mark.parametrize(
    "spans, name, said",
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
def test_what_a_format_cannot_show(spans, name, said):
    with pytest.raises(ValueError, match=f"G733.*{said}"):
        show(spans, name)
