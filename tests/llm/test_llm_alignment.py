import pytest
import spacy
from spacy.tokens import Doc
from task_cases import LABELS, MARKED, NESTED, TEXT

from spacy_genner.formats import FORMATS, CharSpan, get_format
from spacy_genner.llm.alignment import aligned, copied_share
from spacy_genner.llm.messages import Completion

SPANS = [CharSpan(0, 6, "GPE"), CharSpan(17, 37, "ORG"), CharSpan(31, 37, "GPE")]


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


def align(doc, answer, name="inline_bracketed", labels=LABELS):
    return aligned(doc, answer, get_format(name), labels)


def places(outcome):
    return [(span.start, span.end, span.label) for span in outcome.spans]


def codes(outcome):
    return [issue["code"] for issue in outcome.issues]


@pytest.mark.parametrize("name", FORMATS)
def test_a_perfect_answer(nlp, name):
    answer = get_format(name).render(TEXT, SPANS, LABELS)
    outcome = align(nlp(TEXT), answer, name)
    assert (outcome.status, outcome.issues) == ("ok", [])
    assert places(outcome) == NESTED
    assert [span.score for span in outcome.spans] == [1.0] * 3


def test_places_count_from_the_first_token_of_a_span(nlp):
    doc = nlp(f"It rains. {TEXT} It rains.")
    outcome = align(doc[3:10], MARKED)
    assert outcome.status == "ok"
    assert places(outcome) == NESTED


def test_white_space_at_the_edges_is_the_documents(nlp):
    doc = nlp(f"  {TEXT} ")
    outcome = align(doc, f"  {MARKED}")
    assert outcome.status == "ok"
    assert places(outcome) == [(start + 1, end + 1, x) for start, end, x in NESTED]


def test_an_answer_with_faults_is_repaired_and_says_where(nlp):
    outcome = align(nlp(TEXT), f"Sure! {MARKED}")
    assert outcome.status == "repaired"
    assert places(outcome) == NESTED
    [issue] = outcome.issues
    assert issue["code"] == "extra_text" and issue["within"] == "answer"
    assert (issue["start"], issue["end"]) == (0, 5)
    assert "Sure" in issue["message"]


def test_a_span_inside_a_token_is_reported(nlp):
    outcome = align(nlp(TEXT), "[Lis | GPE]bon hosts the University of [Lisbon | GPE].")
    assert outcome.status == "repaired"
    assert places(outcome) == [(5, 6, "GPE")]
    [issue] = outcome.issues
    assert issue["code"] == "off_tokens" and issue["within"] == "text"
    assert TEXT[issue["start"] : issue["end"]] == "Lis"
    assert "Lis" in issue["message"] and "GPE" in issue["message"]


def test_an_error_is_the_reason(nlp):
    error = TimeoutError("no answer in 30 s")
    outcome = align(nlp(TEXT), Completion(error=error))
    assert outcome.status == "failed" and outcome.spans == []
    assert outcome.error is error
    place = {"start": 0, "end": 7, "within": "tokens"}
    message = {"code": "failed", "message": "no answer in 30 s"}
    assert outcome.issues == [{**message, **place}]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("answer", ["", " \n"])
def test_an_empty_answer_failed(nlp, name, answer):
    outcome = align(nlp(TEXT), answer, name)
    assert outcome.status == "failed"
    assert "the answer is empty" in outcome.issues[0]["message"]
    assert str(outcome.error) == outcome.issues[0]["message"]
    assert str(outcome.error).startswith("[G739]")


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_to_say_of_a_text_without_letters(nlp, name):
    outcome = align(nlp("3.5 %"), "", name)
    assert outcome.status == "repaired"
    assert codes(outcome) == ["truncated"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "answer",
    ["I'm sorry, I can't help with that.", "asdf qwer zxcv", "See [1] and [2]."],
)
def test_no_attempt_failed(nlp, name, answer):
    outcome = align(nlp(TEXT), answer, name)
    assert outcome.status == "failed" and outcome.spans == []
    [issue] = outcome.issues
    assert answer in issue["message"]


@pytest.mark.parametrize("answer", ["[]", "Nothing here: []", "{}"])
@pytest.mark.parametrize("name", ["occurrence_json", "offset_json"])
def test_no_entities_is_an_attempt(nlp, name, answer):
    assert align(nlp(TEXT), answer, name).status in ("ok", "repaired")


def test_less_than_half_of_a_copy_failed_and_more_did_not(nlp):
    half = align(nlp(TEXT), "[Lisbon | GPE] hosts the [University | ORG")
    assert half.status == "repaired"
    assert places(half) == [(0, 1, "GPE")]
    less = align(nlp(TEXT), "[Lisbon | GPE] hosts the")
    assert less.status == "failed"
    assert "42%" in less.issues[0]["message"]


def test_scores_of_an_answer_that_has_them(nlp):
    scored = [(span, score) for span, score in zip(SPANS, (0.5, 0.25, 1), strict=True)]
    outcome = align(nlp(TEXT), Completion(MARKED, scored=scored))
    assert outcome.status == "ok"
    assert places(outcome) == NESTED
    assert [span.score for span in outcome.spans] == [0.5, 0.25, 1]


def test_a_decoder_knows_the_place_that_its_format_leaves_open(nlp):
    answer = Completion('{"ORG": [], "GPE": ["Lisbon"]}', scored=[(SPANS[2], 0.5)])
    outcome = align(nlp(TEXT), answer, "grouped_json")
    assert places(outcome) == [(5, 6, "GPE")]
    assert outcome.status == "repaired" and codes(outcome) == ["ambiguous_place"]


def test_a_text_without_spaces_between_words():
    words = ["我", "住在", "里斯本", "。"]
    doc = Doc(spacy.blank("zh").vocab, words=words, spaces=[False] * 4)
    outcome = align(doc, "我住在[里斯本 | GPE]。")
    assert (outcome.status, places(outcome)) == ("ok", [(2, 3, "GPE")])
    assert align(doc, "结果：我住在[里斯本 | GPE]").status == "repaired"
    assert align(doc, "对不起").status == "failed"


def test_a_blank_document(nlp):
    assert align(nlp(""), "").status == "ok"
    assert align(nlp("  "), "x").status == "repaired"


@pytest.mark.parametrize(
    "text, answer, share",
    [("a b c d", "a b c d", 1), ("a b c d", "A B", 0.5), ("a b", "c", 0), (" ", "", 1)],
)
def test_copied_share(text, answer, share):
    assert copied_share(text, answer) == share
