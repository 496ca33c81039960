"""Measures of uncertainty, and the orders of documents."""

import pytest

from spacy_genner.app.edits import ReviewSpan
from spacy_genner.app.ordering import order_documents, uncertainty


def spans(*scores):
    return tuple(ReviewSpan(i, i + 1, "X", score) for i, score in enumerate(scores))


@pytest.mark.parametrize(
    "scores, margin, entropy",
    [
        ((1.0,), 0.0, 0.0),
        ((0.5,), 1.0, 1.0),
        ((0.9, 0.6), 0.8, (0.468996 + 0.970951) / 2),
        ((0.1,), 0.2, 0.468996),
        ((0.0, 1.0), 0.0, 0.0),
        ((None, 0.75), 0.5, 0.811278),
        ((), 0.0, 0.0),
        ((None,), -1.0, -1.0),
    ],
)
def test_uncertainty(scores, margin, entropy):
    assert uncertainty(spans(*scores), "margin") == pytest.approx(margin)
    assert uncertainty(spans(*scores), "entropy") == pytest.approx(entropy, abs=1e-5)


def test_failed_documents_come_first_and_unknown_ones_last():
    values = [
        uncertainty(spans(0.99), "margin"),
        uncertainty(None, "margin"),
        uncertainty((), "margin", failed=True),
        uncertainty(spans(0.5), "margin"),
        uncertainty((), "margin"),
    ]
    assert order_documents(5, "margin", values) == [3, 4, 1, 5, 2]


def test_equal_documents_keep_their_order():
    assert order_documents(4, "entropy", [0.5, 0.7, 0.5, 0.7]) == [2, 4, 1, 3]
    assert order_documents(3, "corpus", [0.1, 0.2, 0.3]) == [1, 2, 3]


def test_the_random_order_depends_on_the_seed():
    orders = [order_documents(50, "random", seed=seed) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(order) == list(range(1, 51)) for order in orders)


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="G894.*alphabet"):
        order_documents(3, "alphabet")
