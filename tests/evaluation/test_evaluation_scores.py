"""Scores compared with cases by hand and with the scores of spaCy."""

import numpy
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.scorer import Scorer
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example

from spacy_genner.errors import GennerWarning
from spacy_genner.evaluation.calibration import best_threshold, threshold_curve
from spacy_genner.evaluation.evaluate import check_gold
from spacy_genner.evaluation.scores import (
    document_counts,
    make_span_scorer,
    nesting,
    score_documents,
)
from spacy_genner.evaluation.significance import (
    approximate_randomisation,
    bootstrap_interval,
    paired_bootstrap,
)
from spacy_genner.formats import CharSpan

OUTER, INNER = CharSpan(0, 10, "ORG"), CharSpan(4, 10, "GPE")
FLAT = CharSpan(20, 25, "GPE")


def test_a_hand_computed_case():
    gold = [[OUTER, INNER, FLAT], [CharSpan(0, 3, "GPE")]]
    wrong_inside = CharSpan(0, 3, "GPE")
    predicted = [[OUTER, wrong_inside, FLAT], []]
    scores = score_documents(gold, predicted)
    assert (scores["gold"], scores["predicted"], scores["correct"]) == (4, 3, 2)
    assert scores["micro_p"] == pytest.approx(2 / 3)
    assert scores["micro_r"] == pytest.approx(2 / 4)
    assert scores["micro_f"] == pytest.approx(4 / 7)
    # Nested: INNER in gold, and the wrong prediction inside OUTER.
    assert scores["nested_gold"] == 1
    assert (scores["nested_p"], scores["nested_r"], scores["nested_f"]) == (0, 0, 0)
    assert scores["flat_p"] == 1.0
    assert scores["flat_r"] == pytest.approx(2 / 3)
    assert scores["per_type"]["ORG"]["f"] == 1.0
    assert scores["per_type"]["GPE"] == {
        "p": 1 / 2,
        "r": 1 / 3,
        "f": 2 / 5,
        "gold": 3,
        "predicted": 2,
        "correct": 1,
    }


def test_two_labels_on_one_range_are_both_nested():
    one, two = CharSpan(0, 5, "GPE"), CharSpan(0, 5, "ORG")
    assert nesting([one, two])[0] == [1, 1]
    depths, _ = nesting(sorted([OUTER, INNER]))
    assert dict(zip(sorted([OUTER, INNER]), depths, strict=True)) == {
        OUTER: 0,
        INNER: 1,
    }


def test_documents_without_spans_have_the_score_0():
    scores = score_documents([[]], [[]])
    assert scores["micro_f"] == 0.0
    assert scores["gold"] == scores["predicted"] == 0


def test_documents_must_be_the_same():
    with pytest.raises(ValueError, match="G601"):
        score_documents([[]], [])
    for test in (paired_bootstrap, approximate_randomisation):
        with pytest.raises(ValueError, match="G601"):
            test([(1, 1, 1)], [])


def doc_with(nlp, spans):
    doc = Doc(nlp.vocab, words=list("abcdefgh"))
    found = [doc[start:end] for start, end, _ in spans]
    group = [
        spacy.tokens.Span(doc, span.start, span.end, label=label)
        for span, (_, _, label) in zip(found, spans, strict=True)
    ]
    doc.spans["sc"] = SpanGroup(doc, name="sc", spans=group)
    return doc


NLP = spacy.blank("en")
SPANS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 8), st.sampled_from("XY")).filter(
        lambda span: span[0] < span[1]
    ),
    max_size=6,
    unique=True,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=4))
def test_micro_scores_equal_those_of_spacy(pairs):
    nlp = NLP
    examples = [Example(doc_with(nlp, b), doc_with(nlp, a)) for a, b in pairs]
    ours = make_span_scorer("sc")(examples)
    theirs = Scorer.score_spans(
        examples,
        "spans_sc",
        getter=lambda doc, key: doc.spans["sc"],
        has_annotation=lambda doc: "sc" in doc.spans,
        allow_overlap=True,
    )
    for key in ("spans_sc_p", "spans_sc_r", "spans_sc_f"):
        assert ours[key] == pytest.approx(theirs[key] or 0.0)


def test_unaligned_gold_counts_as_missed():
    nlp = spacy.blank("en")
    reference, predicted = doc_with(nlp, [(0, 1, "X")]), doc_with(nlp, [(0, 1, "X")])
    reference.user_data["genner_unaligned"] = [[2, 3, "Y"]]
    scores = make_span_scorer("sc")([Example(predicted, reference)])
    assert scores["spans_sc_r"] == 0.5


def test_data_without_annotation_is_not_scored():
    nlp = spacy.blank("en")
    docs = Doc(nlp.vocab, words=["a"]), Doc(nlp.vocab, words=["a"])
    assert make_span_scorer("sc")([Example(*docs)])["spans_sc_f"] is None


def test_the_bootstrap_depends_on_the_seed_and_contains_the_score():
    random = numpy.random.default_rng(1)
    counts = [(10, 10, int(hits)) for hits in random.binomial(10, 0.7, size=80)]
    low, high = bootstrap_interval(counts, seed=3)
    assert (low, high) == bootstrap_interval(counts, seed=3)
    assert (low, high) != bootstrap_interval(counts, seed=4)
    f = sum(row[2] for row in counts) / 800
    assert low < f < high
    assert 0.03 < high - low < 0.09


def test_paired_bootstrap_detects_a_difference():
    random = numpy.random.default_rng(1)
    hits = random.binomial(10, 0.6, size=100)
    first = [(10, 10, int(min(10, h + 2))) for h in hits]
    second = [(10, 10, int(h)) for h in hits]
    better = paired_bootstrap(first, second)
    assert better["difference"] > 0.1
    assert 0 < better["p"] < 0.01
    assert better["low"] > 0
    same = paired_bootstrap(second, second)
    assert same["difference"] == 0.0
    assert same["p"] == 1.0


def test_randomisation_detects_a_difference():
    random = numpy.random.default_rng(1)
    hits = random.binomial(10, 0.6, size=100)
    first = [(10, 10, int(min(10, h + 1))) for h in hits]
    second = [(10, 10, int(h)) for h in hits]
    p = approximate_randomisation(first, second, seed=3)
    assert 0 < p < 0.01
    assert p == approximate_randomisation(first, second, seed=3)
    assert p == pytest.approx(approximate_randomisation(second, first, seed=3))
    assert approximate_randomisation(second, second) == 1.0
    # One document: swapping only changes the sign.
    assert approximate_randomisation([(2, 2, 2)], [(2, 2, 1)]) == 1.0
    # Three documents with equal differences: 2 of 8 swaps differ as much.
    three = approximate_randomisation([(1, 1, 1)] * 3, [(1, 1, 0)] * 3, 4000)
    assert three == pytest.approx(2 / 8, abs=0.03)


def test_p_is_uniform_for_two_equal_systems():
    random = numpy.random.default_rng(2)
    ps = []
    for _ in range(60):
        hits = random.binomial(5, 0.5, size=(2, 50))
        pair = [[(5, 5, int(hit)) for hit in row] for row in hits]
        ps.append(approximate_randomisation(*pair, samples=200))
    assert 0.35 < numpy.mean(ps) < 0.65
    assert numpy.mean([p < 0.1 for p in ps]) < 0.25


def test_counts_of_a_document():
    assert document_counts([OUTER, INNER], [OUTER, FLAT, FLAT]) == (2, 2, 1)


def test_a_threshold_curve_by_hand():
    curve = threshold_curve([0.9, 0.8, 0.8, 0.3], [True, True, False, True], gold=4)
    assert [point["min_score"] for point in curve] == [0.3, 0.8, 0.9]
    assert [point["p"] for point in curve] == pytest.approx([3 / 4, 2 / 3, 1])
    assert [point["r"] for point in curve] == pytest.approx([3 / 4, 2 / 4, 1 / 4])
    assert best_threshold(curve)["min_score"] == 0.3
    assert threshold_curve([], [], 3) == []
    assert best_threshold([]) is None


def test_a_wrong_label_takes_the_place_of_the_missed_span():
    other = CharSpan(0, 10, "GPE")
    gold = [[OUTER, INNER, FLAT]]
    # The label of OUTER is wrong, so it is no nested prediction.
    scores = score_documents(gold, [[other, INNER, FLAT]])
    assert (scores["nested_p"], scores["nested_r"]) == (1.0, 1.0)
    assert (scores["flat_p"], scores["flat_r"]) == (0.5, 0.5)
    # Beside OUTER it is.
    scores = score_documents(gold, [[OUTER, other, INNER, FLAT]])
    assert (scores["nested_p"], scores["flat_p"]) == (0.5, 1.0)
    # The other label of INNER is inside OUTER, as INNER is.
    scores = score_documents(gold, [[OUTER, INNER._replace(label="ORG"), FLAT]])
    assert (scores["nested_p"], scores["flat_p"]) == (0.0, 1.0)
    # Two labels in place of one: one of them is nested.
    scores = score_documents(gold, [[other, other._replace(label="X"), INNER, FLAT]])
    assert (scores["nested_p"], scores["flat_p"]) == (1 / 3, 1.0)


def test_all_spans_are_flat_if_no_reference_is_nested():
    gold = [[OUTER, FLAT], [FLAT]]
    nested = [INNER, OUTER._replace(label="GPE"), CharSpan(21, 22, "GPE")]
    scores = score_documents(gold, [[OUTER, FLAT, *nested], []])
    assert scores["nested_gold"] == 0
    for part in "prf":
        assert scores[f"flat_{part}"] == scores[f"micro_{part}"]
        assert scores[f"nested_{part}"] == 0.0


def test_a_reference_with_entities_alone_warns():
    nlp = spacy.blank("en")
    reference = nlp.make_doc("Lisbon wins")
    reference.set_ents([Span(reference, 0, 1, "GPE")])
    predicted = nlp.make_doc("Lisbon wins")
    with pytest.warns(GennerWarning, match=r"W408.*'sc'.*genner convert"):
        scores = make_span_scorer("sc")([Example(predicted, reference)])
    assert scores["spans_sc_f"] is None
    with pytest.raises(ValueError, match="G346.*convert"):
        check_gold([reference], "sc")
