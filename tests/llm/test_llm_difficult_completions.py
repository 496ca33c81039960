"""Completions that are difficult to parse, with spacy-llm's tasks and our own."""

import warnings

import pytest
from difficult_completions import CASES, DOCS, LABELS, table, verdict
from task_cases import codes, llm_pipeline, status

from spacy_genner.errors import GennerWarning

BY_NAME = [pytest.param(case, id=case.name) for case in CASES]
THEIRS = {"v2": "spacy.NER.v2", "v3": "spacy.NER.v3"}


def char_spans(spans):
    return tuple((span.start_char, span.end_char, span.label_) for span in spans)


def test_there_are_sixteen_cases():
    assert len({case.name for case in CASES}) == 16


@pytest.mark.parametrize("case", BY_NAME)
def test_our_task_locates_or_reports_spans(case):
    nlp = llm_pipeline(
        case.ours, "spacy-genner.NER.v1", labels=LABELS, format=case.format
    )
    if case.failed:
        with pytest.warns(GennerWarning, match="W730"):
            doc = nlp(case.text)
    else:
        doc = nlp(case.text)
    assert char_spans(doc.spans["sc"]) == char_spans(doc.ents) == case.means
    assert tuple(sorted(codes(doc))) == tuple(sorted(case.issues))
    expected = "failed" if case.failed else "repaired" if case.issues else "ok"
    assert status(doc) == expected
    # A span without a position is always reported.
    assert not case.lost or case.issues


@pytest.mark.parametrize("version", THEIRS)
@pytest.mark.parametrize("case", BY_NAME)
def test_tasks_of_spacy_llm_report_nothing(case, version):
    """Their spans are right or wrong as expected, and there is no warning."""
    nlp = llm_pipeline(getattr(case, version), THEIRS[version], labels=LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        doc = nlp(case.text)
    found = char_spans(doc.ents)
    assert found == case.theirs.get(version, case.means)
    assert (found != case.means) == (verdict(case, version) == "wrong")
    assert dict(doc.spans) == {}


def test_the_documentation_contains_the_table():
    assert table() in DOCS.read_text(encoding="utf8")
