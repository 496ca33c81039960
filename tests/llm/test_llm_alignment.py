"""Alignment of completions to documents."""

import unicodedata

import pytest
import spacy
from spacy.tokens import Doc
from task_cases import LABELS, NESTED, OUTPUT, TEXT

from spacy_genner.formats import FORMATS, CharSpan, get_format
from spacy_genner.llm.alignment import aligned, copied_share
from spacy_genner.llm.messages import Completion

SPANS = [CharSpan(0, 6, "GPE"), CharSpan(17, 37, "ORG"), CharSpan(31, 37, "GPE")]


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


def align(doc, completion, name="inline_bracketed", labels=LABELS):
    return aligned(doc, completion, get_format(name), labels)


def spans_of(prediction):
    return [(span.start, span.end, span.label) for span in prediction.spans]


def codes(prediction):
    return [issue["code"] for issue in prediction.issues]


@pytest.mark.parametrize("name", FORMATS)
def test_an_exact_completion(nlp, name):
    completion = get_format(name).render(TEXT, SPANS, LABELS)
    prediction = align(nlp(TEXT), completion, name)
    assert (prediction.status, prediction.issues) == ("ok", [])
    assert spans_of(prediction) == NESTED
    assert [span.score for span in prediction.spans] == [1.0] * 3


def test_positions_are_relative_to_the_span(nlp):
    doc = nlp(f"It rains. {TEXT} It rains.")
    prediction = align(doc[3:10], OUTPUT)
    assert prediction.status == "ok"
    assert spans_of(prediction) == NESTED


def test_white_space_at_the_edges_of_the_document(nlp):
    doc = nlp(f"  {TEXT} ")
    prediction = align(doc, f"  {OUTPUT}")
    assert prediction.status == "ok"
    assert spans_of(prediction) == [(start + 1, end + 1, x) for start, end, x in NESTED]


def test_a_repaired_completion_reports_positions(nlp):
    prediction = align(nlp(TEXT), f"Sure! {OUTPUT}")
    assert prediction.status == "repaired"
    assert spans_of(prediction) == NESTED
    [issue] = prediction.issues
    assert issue["code"] == "extra_text" and issue["within"] == "answer"
    assert (issue["start"], issue["end"]) == (0, 5)
    assert "Sure" in issue["message"]


def test_a_span_inside_a_token_is_reported(nlp):
    completion = "[Lis | GPE]bon hosts the University of [Lisbon | GPE]."
    prediction = align(nlp(TEXT), completion)
    assert prediction.status == "repaired"
    assert spans_of(prediction) == [(5, 6, "GPE")]
    [issue] = prediction.issues
    assert issue["code"] == "off_tokens" and issue["within"] == "text"
    assert TEXT[issue["start"] : issue["end"]] == "Lis"
    assert "Lis" in issue["message"] and "GPE" in issue["message"]


def test_an_error_is_reported_as_the_reason(nlp):
    error = TimeoutError("no answer in 30 s")
    prediction = align(nlp(TEXT), Completion(error=error))
    assert prediction.status == "failed" and prediction.spans == []
    assert prediction.error is error
    position = {"start": 0, "end": 7, "within": "tokens"}
    message = {"code": "failed", "message": "no answer in 30 s"}
    assert prediction.issues == [{**message, **position}]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("completion", ["", " \n"])
def test_an_empty_completion_fails(nlp, name, completion):
    prediction = align(nlp(TEXT), completion, name)
    assert prediction.status == "failed"
    assert "the answer is empty" in prediction.issues[0]["message"]
    assert str(prediction.error) == prediction.issues[0]["message"]
    assert str(prediction.error).startswith("[G739]")


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_completion_of_a_text_without_letters(nlp, name):
    prediction = align(nlp("3.5 %"), "", name)
    assert prediction.status == "repaired"
    assert codes(prediction) == ["truncated"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "completion",
    ["I'm sorry, I can't help with that.", "asdf qwer zxcv", "See [1] and [2]."],
)
def test_a_completion_without_an_attempt_fails(nlp, name, completion):
    prediction = align(nlp(TEXT), completion, name)
    assert prediction.status == "failed" and prediction.spans == []
    [issue] = prediction.issues
    assert completion in issue["message"]


@pytest.mark.parametrize("completion", ["[]", "Nothing here: []", "{}"])
@pytest.mark.parametrize("name", ["occurrence_json", "offset_json"])
def test_an_empty_list_is_an_attempt(nlp, name, completion):
    assert align(nlp(TEXT), completion, name).status in ("ok", "repaired")


def test_a_copy_of_less_than_half_the_text_fails(nlp):
    more = align(nlp(TEXT), "[Lisbon | GPE] hosts the [University | ORG")
    assert more.status == "repaired"
    assert spans_of(more) == [(0, 1, "GPE")]
    less = align(nlp(TEXT), "[Lisbon | GPE] hosts the")
    assert less.status == "failed"
    assert "42%" in less.issues[0]["message"]


def test_scores_of_a_completion(nlp):
    scored = [(span, score) for span, score in zip(SPANS, (0.5, 0.25, 1), strict=True)]
    prediction = align(nlp(TEXT), Completion(OUTPUT, scored=scored))
    assert prediction.status == "ok"
    assert spans_of(prediction) == NESTED
    assert [span.score for span in prediction.spans] == [0.5, 0.25, 1]


def test_decoded_positions_override_ambiguous_ones(nlp):
    completion = Completion('{"ORG": [], "GPE": ["Lisbon"]}', scored=[(SPANS[2], 0.5)])
    prediction = align(nlp(TEXT), completion, "grouped_json")
    assert spans_of(prediction) == [(5, 6, "GPE")]
    assert prediction.status == "repaired" and codes(prediction) == ["ambiguous_place"]


def test_a_language_without_spaces():
    words = ["我", "住在", "里斯本", "。"]
    doc = Doc(spacy.blank("zh").vocab, words=words, spaces=[False] * 4)
    prediction = align(doc, "我住在[里斯本 | GPE]。")
    assert (prediction.status, spans_of(prediction)) == ("ok", [(2, 3, "GPE")])
    assert align(doc, "结果：我住在[里斯本 | GPE]").status == "repaired"
    assert align(doc, "对不起").status == "failed"


def test_equivalent_text_is_no_failure(nlp):
    text = "Zo\u00eb vit \u00e0 Besan\u00e7on."
    written = unicodedata.normalize("NFD", f"[{text[:3]} | GPE]{text[3:]}")
    prediction = align(nlp(text), written)
    assert (prediction.status, spans_of(prediction)) == ("repaired", [(0, 1, "GPE")])
    assert set(codes(prediction)) == {"copy_differs"}


def test_one_other_comma_in_a_language_without_spaces():
    words = ["我", "在", "北京", "，", "他", "在", "上海", "。"]
    doc = Doc(spacy.blank("zh").vocab, words=words, spaces=[False] * 8)
    prediction = align(doc, "我在[北京 | GPE],他在[上海 | GPE]。")
    assert prediction.status == "repaired"
    assert spans_of(prediction) == [(2, 3, "GPE"), (6, 7, "GPE")]


def test_a_blank_document(nlp):
    assert align(nlp(""), "").status == "ok"
    assert align(nlp("  "), "x").status == "repaired"


@pytest.mark.parametrize(
    "text, completion, share",
    [("a b c d", "a b c d", 1), ("a b c d", "A B", 0.5), ("a b", "c", 0), (" ", "", 1)],
)
def test_copied_share(text, completion, share):
    assert copied_share(text, completion) == share


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_copied_share_of_equivalent_text(form):
    text = "Zo\u00eb\u2019s caf\u00e9 \u2013 Besan\u00e7on"
    written = unicodedata.normalize(form, "Zo\u00eb's caf\u00e9 - Besan\u00e7on")
    assert copied_share(text, written) == 1


def test_copied_share_of_repetitive_text_is_quick(processor_seconds):
    texts = "a b " * 5000, "b a " * 5000 + "c"
    assert processor_seconds(copied_share, *texts) < 10
    assert copied_share(*texts) > 0.5
