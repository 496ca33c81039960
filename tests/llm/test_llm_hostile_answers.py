"""Answers that are hard to read, given to spacy-llm's own tasks and to ours."""

import warnings

import pytest
from hostile_answers import CASES, DOCS, LABELS, table, verdict
from task_cases import codes, status, told

from spacy_genner.errors import GennerWarning

BY_NAME = [pytest.param(case, id=case.name) for case in CASES]
THEIRS = {"v2": "spacy.NER.v2", "v3": "spacy.NER.v3"}


def places(spans):
    return tuple((span.start_char, span.end_char, span.label_) for span in spans)


def test_there_are_sixteen():
    assert len({case.name for case in CASES}) == 16


@pytest.mark.parametrize("case", BY_NAME)
def test_ours_places_or_reports(case):
    nlp = told(case.ours, "spacy-genner.NER.v1", labels=LABELS, format=case.format)
    if case.failed:
        with pytest.warns(GennerWarning, match="W730"):
            doc = nlp(case.text)
    else:
        doc = nlp(case.text)
    assert places(doc.spans["sc"]) == places(doc.ents) == case.means
    assert tuple(sorted(codes(doc))) == tuple(sorted(case.issues))
    expected = "failed" if case.failed else "repaired" if case.issues else "ok"
    assert status(doc) == expected
    # What can't be placed is never passed over.
    assert not case.lost or case.issues


@pytest.mark.parametrize("form", THEIRS)
@pytest.mark.parametrize("case", BY_NAME)
def test_theirs(case, form):
    """What spacy-llm's own tasks find, right or wrong, and that they report nothing."""
    nlp = told(getattr(case, form), THEIRS[form], labels=LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        doc = nlp(case.text)
    found = places(doc.ents)
    assert found == case.theirs.get(form, case.means)
    assert (found != case.means) == (verdict(case, form) == "wrong")
    assert dict(doc.spans) == {}


def test_the_table_of_the_docs_is_this_one():
    assert table() in DOCS.read_text(encoding="utf8")
