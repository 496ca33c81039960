"""Kinds of errors: cases by hand, and properties of any documents."""

from evaluation_cases import DOCUMENTS, SPANS
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_genner.evaluation.breakdowns import SpanError, count_errors, find_errors
from spacy_genner.evaluation.scores import score_documents
from spacy_genner.formats import CharSpan


def test_each_kind_by_hand():
    gold = [
        CharSpan(0, 5, "A"),
        CharSpan(10, 20, "A"),
        CharSpan(30, 40, "A"),
        CharSpan(50, 55, "A"),
        CharSpan(70, 75, "A"),
    ]
    predicted = [
        CharSpan(0, 5, "B"),
        CharSpan(12, 20, "A"),
        CharSpan(30, 35, "B"),
        CharSpan(60, 65, "A"),
        CharSpan(70, 75, "A"),
    ]
    assert find_errors(gold, predicted) == [
        SpanError("label", gold[0], predicted[0]),
        SpanError("boundary", gold[1], predicted[1]),
        SpanError("boundary_and_label", gold[2], predicted[2]),
        SpanError("missed", gold[3], None),
        SpanError("invented", None, predicted[3]),
    ]
    counts, overlapping = count_errors([gold], [predicted])
    assert set(counts.values()) == {1}
    assert overlapping == {"missed": 0, "invented": 0}


def test_equal_ranges_come_first_and_then_greater_overlaps():
    gold = [CharSpan(0, 10, "A"), CharSpan(5, 10, "B")]
    # The prediction has the range of one gold span and the label of the other.
    (label, missed) = sorted(find_errors(gold, [CharSpan(5, 10, "A")]))
    assert label == SpanError("label", gold[1], CharSpan(5, 10, "A"))
    assert missed == SpanError("missed", gold[0], None)
    # 9 of 10 shared characters take precedence over 5 of 10, in any order.
    near, far = CharSpan(1, 10, "A"), CharSpan(0, 5, "A")
    for predicted in ([near, far], [far, near]):
        assert find_errors([CharSpan(0, 10, "A")], predicted) == [
            SpanError("invented", None, far),
            SpanError("boundary", CharSpan(0, 10, "A"), near),
        ]


def test_correct_spans_are_not_paired():
    outer, inner = CharSpan(0, 10, "A"), CharSpan(4, 10, "A")
    assert find_errors([outer, inner], [outer]) == [SpanError("missed", inner, None)]
    assert find_errors([outer], [outer, inner]) == [SpanError("invented", None, inner)]
    counts, overlapping = count_errors([[outer, inner], []], [[outer], [inner]])
    assert counts["missed"] == counts["invented"] == 1
    # The missed span lies in a span that was found; the invented span overlaps none.
    assert overlapping == {"missed": 1, "invented": 0}


def test_adjacent_spans_do_not_overlap():
    kinds = [m.kind for m in find_errors([CharSpan(0, 5, "A")], [CharSpan(5, 9, "A")])]
    assert kinds == ["missed", "invented"]


@settings(max_examples=300, deadline=None)
@given(SPANS, SPANS, st.randoms(use_true_random=False))
def test_errors_are_one_to_one_and_have_the_correct_kind(gold, predicted, random):
    errors = find_errors(gold, predicted)
    missed = [m.gold for m in errors if m.gold is not None]
    wrong = [m.predicted for m in errors if m.predicted is not None]
    assert sorted(missed) == sorted(set(gold) - set(predicted))
    assert sorted(wrong) == sorted(set(predicted) - set(gold))
    left = {"missed": set(), "invented": set()}
    for kind, one, two in errors:
        if one is None or two is None:
            left[kind].add(one or two)
            continue
        overlap = min(one.end, two.end) - max(one.start, two.start)
        assert overlap > 0
        same = one[:2] == two[:2]
        expected = {
            (True, False): "label",
            (False, True): "boundary",
            (False, False): "boundary_and_label",
        }
        assert kind == expected[same, one.label == two.label]
    # No possible pair is left.
    for one in left["missed"]:
        for two in left["invented"]:
            assert min(one.end, two.end) <= max(one.start, two.start)
    random.shuffle(gold)
    random.shuffle(predicted)
    assert find_errors(gold, predicted) == errors


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_every_error_has_exactly_one_kind(documents):
    gold, predicted = [d[0] for d in documents], [d[1] for d in documents]
    scores = score_documents(gold, predicted)
    counts, overlapping = count_errors(gold, predicted)
    pairs = sum(n for kind, n in counts.items() if kind not in overlapping)
    assert pairs + counts["missed"] == scores["gold"] - scores["correct"]
    assert pairs + counts["invented"] == scores["predicted"] - scores["correct"]
    by_force = {"missed": 0, "invented": 0}
    for wanted, found in documents:
        sides = {"missed": set(found), "invented": set(wanted)}
        for kind, one, two in find_errors(wanted, found):
            span = one or two
            by_force[kind] = by_force.get(kind, 0) + any(
                min(o.end, span.end) > max(o.start, span.start)
                for o in sides.get(kind, ())
            )
    assert overlapping == {kind: by_force[kind] for kind in overlapping}
