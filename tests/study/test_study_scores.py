"""The scoring of the study, by hand and by its properties."""

import pytest
from evaluation_cases import DOCUMENTS
from hypothesis import given, settings

from spacy_genner.evaluation.records import Annotation
from spacy_genner.evaluation.scores import score_documents
from spacy_genner.formats import CharSpan
from spacy_genner.study.scores import copy_differs, study_scores, text_counts

TEXT = "Lisbon is not Lisbon. Lisbon is."
FIRST, SECOND = CharSpan(0, 6, "GPE"), CharSpan(14, 20, "GPE")
THIRD = CharSpan(22, 28, "GPE")
SENTENCES = [0, 22]


def document(gold, predicted, *codes, sentences=()):
    issues = [{"code": code} for code in codes]
    scores = [1.0] * len(predicted)
    return Annotation(
        TEXT, gold, predicted, scores, "ok", issues, sentences=list(sentences)
    )


def test_wrong_offsets_are_ignored_only_if_the_copy_differs():
    exact = study_scores([document([FIRST], [SECOND])])
    assert (exact["study_f"], exact["study_by_text"]) == (0.0, 0)
    for code in ("copy_differs", "truncated", "extra_text"):
        forgiven = study_scores([document([FIRST], [SECOND], code)])
        assert (forgiven["study_f"], forgiven["study_by_text"]) == (1.0, 1)
    for code in ("duplicate", "offset_moved", "failed"):
        assert not copy_differs([{"code": code}])


def test_pairs_are_counted_as_multisets():
    assert text_counts([FIRST, SECOND], [FIRST, SECOND, THIRD], TEXT) == (2, 3, 2)
    assert text_counts([FIRST, SECOND], [THIRD], TEXT) == (2, 1, 1)
    assert text_counts([FIRST], [FIRST._replace(label="ORG")], TEXT) == (1, 1, 0)


def test_pairs_are_counted_within_each_sentence():
    assert text_counts([FIRST], [SECOND], TEXT, SENTENCES) == (1, 1, 1)
    assert text_counts([FIRST], [THIRD], TEXT, SENTENCES) == (1, 1, 0)
    assert text_counts([FIRST], [THIRD], TEXT) == (1, 1, 1)
    row = document([FIRST], [THIRD], "copy_differs", sentences=SENTENCES)
    assert study_scores([row])["study_f"] == 0.0


def test_mentions_that_cannot_be_spans_count_as_predicted():
    rows = [
        document([FIRST], [FIRST], "not_in_text", "unknown_label"),
        document([THIRD], [THIRD], "duplicate", "copy_differs"),
    ]
    found = study_scores(rows)
    assert found["study_left_out"] == 3
    assert found["study_p"] == pytest.approx(2 / 5)
    assert found["study_r"] == 1.0
    assert found["study_f"] == pytest.approx(4 / 7)


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS)
def test_it_equals_the_exact_score_for_copies_and_is_never_lower_otherwise(documents):
    text = "abc" * 10
    gold, predicted = [d[0] for d in documents], [d[1] for d in documents]
    exact = score_documents(gold, predicted)
    for issues in ([], [{"code": "copy_differs"}]):
        found = study_scores(
            Annotation(text, a, b, [1.0] * len(b), "ok", issues) for a, b in documents
        )
        for key in "prf":
            if issues:
                assert found[f"study_{key}"] >= exact[f"micro_{key}"]
            else:
                assert found[f"study_{key}"] == exact[f"micro_{key}"]
