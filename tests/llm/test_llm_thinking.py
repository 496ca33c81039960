"""The reasoning of a model before its output is removed from the completion."""

import pytest
import spacy
from task_cases import LABELS, NESTED, OUTPUT, TEXT

from spacy_genner.formats import FORMATS, CharSpan, get_format
from spacy_genner.llm.alignment import aligned, thought_before

SPANS = [CharSpan(0, 6, "GPE"), CharSpan(17, 37, "ORG"), CharSpan(31, 37, "GPE")]
THOUGHTS = [
    f"<think>{TEXT} has [Lisbon | ORG], or {{}}?</think>\n\n",
    f"\n<think>\n{TEXT} <GPE>Lisbon</GPE>\n</think>",
    # The opening tag is part of the prompt.
    '{"ORG": ["Lisbon"]} may be right. </think> ',
]


@pytest.mark.parametrize("thought", THOUGHTS)
@pytest.mark.parametrize("name", FORMATS)
def test_reasoning_is_removed_and_reported(name, thought):
    fmt = get_format(name)
    doc = spacy.blank("en")(TEXT)
    prediction = aligned(doc, thought + fmt.render(TEXT, SPANS, LABELS), fmt, LABELS)
    assert prediction.status == "repaired"
    assert [(s.start, s.end, s.label) for s in prediction.spans] == NESTED
    [issue] = prediction.issues
    assert issue["code"] == "extra_text" and issue["within"] == "answer"
    assert (issue["start"], issue["end"]) == (0, len(thought))


def test_issues_keep_their_positions_in_the_completion():
    thought = THOUGHTS[0]
    doc = spacy.blank("en")(TEXT)
    fmt = get_format("inline_bracketed")
    _, issue = aligned(doc, f"{thought}Sure! {OUTPUT}", fmt, LABELS).issues
    assert (issue["start"], issue["end"]) == (len(thought), len(thought) + 5)


@pytest.mark.parametrize("name", FORMATS)
def test_reasoning_without_an_output_fails(name):
    doc = spacy.blank("en")(TEXT)
    prediction = aligned(doc, f"<think>{OUTPUT}", get_format(name), LABELS)
    assert prediction.status == "failed"
    assert "thought" in prediction.issues[0]["message"]


@pytest.mark.parametrize(
    "output, text, labels, expected",
    [
        ("no thought", "", (), "no thought"),
        ("", "", (), ""),
        ("<think></think>", "", (), ""),
        ("<think>a</think> b</think>c", "", (), "b</think>c"),
        ("b <think> c", "", (), "b <think> c"),
        # Tags that the text contains are copied.
        ("It ends with </think> .", "It ends with </think> .", (), None),
        ("<think> begins it .", "<think> begins it .", (), None),
        # The tag may be markup of a label.
        ("<think>Lisbon</think>", "Lisbon", ("think",), None),
    ],
)
def test_detection_of_reasoning(output, text, labels, expected):
    expected = output if expected is None else expected
    assert output[thought_before(output, text, labels) :] == expected
