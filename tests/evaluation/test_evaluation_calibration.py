"""Calibration: cases by hand, and scores that are calibrated by construction."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_genner.evaluation.calibration import calibration

SCORED = st.lists(
    st.tuples(
        st.one_of(
            st.floats(0, 1),
            st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0]),
        ),
        st.booleans(),
    ),
    min_size=1,
    max_size=60,
)


def test_a_case_by_hand():
    found = calibration([0.95, 0.85, 0.85, 0.15], [True, True, False, False])
    assert (found["spans"], found["left_out"]) == (4, 0)
    assert found["mean_score"] == pytest.approx(0.7)
    assert found["precision"] == 0.5
    # (1 x 0.05 + 2 x 0.35 + 1 x 0.15) / 4.
    assert found["ece"] == pytest.approx((0.05 + 0.7 + 0.15) / 4)
    squares = 0.05**2 + 0.15**2 + 0.85**2 + 0.15**2
    assert found["brier"] == pytest.approx(squares / 4)
    assert [(r["low"], r["high"], r["spans"]) for r in found["equal_width"]] == [
        (0.1, 0.2, 1),
        (0.8, 0.9, 2),
        (0.9, 1.0, 1),
    ]
    assert found["equal_width"][1]["right"] == 0.5


def test_edges_belong_to_the_bin_below():
    scores = [0.0, 0.1, 0.3, 0.7, 1.0]
    found = calibration(scores, [True] * 5)
    places = [(r["low"], r["high"], r["spans"]) for r in found["equal_width"]]
    assert places == [(0.0, 0.1, 2), (0.2, 0.3, 1), (0.6, 0.7, 1), (0.9, 1.0, 1)]


def test_bins_of_equal_mass_keep_equal_scores_together():
    scores = [i / 100 for i in range(50)] + [0.9] * 50
    found = calibration(scores, [False] * 100)
    assert [r["spans"] for r in found["equal_mass"]] == [10] * 5 + [50]
    assert found["equal_mass"][-1]["low"] == found["equal_mass"][-1]["high"] == 0.9
    distinct = calibration([i / 200 for i in range(200)], [False] * 200)
    assert [r["spans"] for r in distinct["equal_mass"]] == [20] * 10


def test_spans_without_a_probability_are_left_out_and_counted():
    scores = [None, float("nan"), -0.1, 1.2, 0.5, 1.0000001]
    found = calibration(scores, [True] * 6)
    assert (found["spans"], found["left_out"]) == (2, 4)
    assert found["mean_score"] == 0.75
    assert calibration([None], [True]) is None
    assert calibration([], []) is None
    with pytest.raises(ValueError, match="G615.*1 scores and 0"):
        calibration([0.5], [])


def test_calibrated_scores_have_no_error():
    """Exactly for scores k/10 with k of ten correct, and in the limit for samples."""
    tenths = [(k / 10, place < k) for k in range(11) for place in range(10)]
    exact = calibration(*zip(*tenths, strict=True))
    assert exact["ece"] == pytest.approx(0, abs=1e-12)
    assert exact["ece_equal_mass"] < 0.06
    random = numpy.random.default_rng(0)
    errors = []
    for size in (100, 3000, 100_000):
        scores = random.beta(4, 1, size)
        found = calibration(scores, random.random(size) < scores)
        errors.append((found["ece"], found["ece_equal_mass"]))
    assert errors[0] > errors[1] > errors[2]
    assert max(errors[2]) < 0.005
    # The expected Brier score of calibrated scores is the mean of s (1 - s).
    assert found["brier"] == pytest.approx(
        float(numpy.mean(scores * (1 - scores))), abs=0.003
    )
    # Overconfident scores, by 0.1.
    sure = calibration(numpy.minimum(scores + 0.1, 1), random.random(size) < scores)
    assert sure["ece"] == pytest.approx(
        float(numpy.mean(numpy.minimum(0.1, 1 - scores))), abs=0.01
    )


@settings(max_examples=200, deadline=None)
@given(SCORED, st.randoms(use_true_random=False))
def test_bins_add_up_and_do_not_depend_on_the_order(pairs, random):
    found = calibration(*zip(*pairs, strict=True))
    for key in ("equal_width", "equal_mass"):
        rows = found[key]
        assert sum(row["spans"] for row in rows) == len(pairs)
        right = sum(row["right"] * row["spans"] for row in rows)
        assert right == pytest.approx(sum(outcome for _, outcome in pairs))
        for row in rows:
            assert row["low"] - 1e-9 <= row["score"] <= row["high"] + 1e-9
    # The error is at least that of a single bin, and at most 1.
    overall = abs(found["mean_score"] - found["precision"])
    assert overall - 1e-9 <= found["ece"] <= 1
    assert overall - 1e-9 <= found["ece_equal_mass"] <= 1
    assert 0 <= found["brier"] <= 1
    random.shuffle(pairs)
    assert calibration(*zip(*pairs, strict=True)) == found
