"""What a model thinks before it answers is no part of the answer."""

import pytest
import spacy
from task_cases import LABELS, MARKED, NESTED, TEXT

from spacy_genner.formats import FORMATS, CharSpan, get_format
from spacy_genner.llm.alignment import aligned, thought_before

SPANS = [CharSpan(0, 6, "GPE"), CharSpan(17, 37, "ORG"), CharSpan(31, 37, "GPE")]
THOUGHTS = [
    f"<think>{TEXT} has [Lisbon | ORG], or {{}}?</think>\n\n",
    f"\n<think>\n{TEXT} <GPE>Lisbon</GPE>\n</think>",
    # The prompt has opened it.
    '{"ORG": ["Lisbon"]} may be right. </think> ',
]


@pytest.mark.parametrize("thought", THOUGHTS)
@pytest.mark.parametrize("name", FORMATS)
def test_it_is_cut_off_and_told(name, thought):
    fmt = get_format(name)
    doc = spacy.blank("en")(TEXT)
    outcome = aligned(doc, thought + fmt.render(TEXT, SPANS, LABELS), fmt, LABELS)
    assert outcome.status == "repaired"
    assert [(s.start, s.end, s.label) for s in outcome.spans] == NESTED
    [issue] = outcome.issues
    assert issue["code"] == "extra_text" and issue["within"] == "answer"
    assert (issue["start"], issue["end"]) == (0, len(thought))


def test_other_issues_are_where_they_were_in_the_answer():
    thought = THOUGHTS[0]
    doc = spacy.blank("en")(TEXT)
    fmt = get_format("inline_bracketed")
    _, issue = aligned(doc, f"{thought}Sure! {MARKED}", fmt, LABELS).issues
    assert (issue["start"], issue["end"]) == (len(thought), len(thought) + 5)


@pytest.mark.parametrize("name", FORMATS)
def test_a_thought_without_an_answer_failed(name):
    doc = spacy.blank("en")(TEXT)
    outcome = aligned(doc, f"<think>{MARKED}", get_format(name), LABELS)
    assert outcome.status == "failed"
    assert "thought" in outcome.issues[0]["message"]


@pytest.mark.parametrize(
    "written, text, labels, answer",
    [
        ("no thought", "", (), "no thought"),
        ("", "", (), ""),
        ("<think></think>", "", (), ""),
        ("<think>a</think> b</think>c", "", (), "b</think>c"),
        ("b <think> c", "", (), "b <think> c"),
        # What the text itself has is copied.
        ("It ends with </think> .", "It ends with </think> .", (), None),
        ("<think> begins it .", "<think> begins it .", (), None),
        # A mark, where it is a label.
        ("<think>Lisbon</think>", "Lisbon", ("think",), None),
    ],
)
def test_what_is_a_thought(written, text, labels, answer):
    expected = written if answer is None else answer
    assert written[thought_before(written, text, labels) :] == expected
