"""Calibration of span scores: measured and fitted. Precision and recall over score
thresholds."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy

from ..errors import Errors
from ..pipeline.score_map import ISOTONIC, TEMPERATURE, ScoreMap, log_odds

BINS = 10
# A product of float32 probabilities can exceed 1 by rounding.
SCORE_TOLERANCE = 1e-6
MAX_CURVE_POINTS = 200


def calibration(
    scores: Sequence[float | None], correct: Sequence[bool]
) -> dict[str, Any] | None:
    """Compare the scores of predicted spans with the share of correct ones.

    The expected calibration error is the mean, over the spans, of the difference
    between the mean score and the share of correct spans in the bin of the span. It is
    computed over ten bins of equal width (Naeini et al., "Obtaining Well Calibrated
    Probabilities Using Bayesian Binning", 2015; Guo et al., "On Calibration of Modern
    Neural Networks", 2017), which include their upper but not their lower edge (the
    first bin includes both), and over ten bins of equal mass, whose numbers of spans
    are as equal as possible without separating equal scores. The Brier score is the
    mean squared difference between score and outcome (Brier, 1950). Missed spans have
    no score and are not included.

    scores (Sequence[float | None]): The score of each predicted span, from 0 to 1, or
        None if it has no score.
    correct (Sequence[bool]): Whether each predicted span is correct.
    RETURNS (dict[str, Any] | None): The number of `spans`; `left_out`, the number of
        spans without a score from 0 to 1, which are excluded; `mean_score` and
        `precision`; `ece`, `ece_equal_mass` and `brier`; and the non-empty bins
        `equal_width` and `equal_mass`, each with `low`, `high`, the number of `spans`,
        the mean `score` and the share `right`. None if no span has a score.
    RAISES (ValueError): The numbers of scores and outcomes differ.
    """
    if len(scores) != len(correct):
        raise ValueError(Errors.G615.format(scores=len(scores), found=len(correct)))
    values = numpy.asarray(scores, dtype="float64")
    right = numpy.asarray(correct, dtype="float64")
    with numpy.errstate(invalid="ignore"):
        usable = (values >= 0) & (values <= 1 + SCORE_TOLERANCE)
    values, right = numpy.minimum(values[usable], 1.0), right[usable]
    if not len(values):
        return None
    # Sums of floats depend on the order of their terms. Sorting makes the result
    # independent of the order of the documents.
    order = numpy.lexsort((right, values))
    values, right = values[order], right[order]
    edges = numpy.arange(1, BINS) / BINS
    equal_width = _bins(values, right, numpy.digitize(values, edges, right=True))
    for row in equal_width:
        index = row.pop("bin")
        row["low"], row["high"] = index / BINS, (index + 1) / BINS
    equal_mass = _bins(values, right, _equal_mass_bins(values))
    for row in equal_mass:
        del row["bin"]
    return {
        "spans": len(values),
        "left_out": int((~usable).sum()),
        "mean_score": float(values.mean()),
        "precision": float(right.mean()),
        "ece": _calibration_error(equal_width),
        "ece_equal_mass": _calibration_error(equal_mass),
        "brier": float(((values - right) ** 2).mean()),
        "equal_width": equal_width,
        "equal_mass": equal_mass,
    }


def _equal_mass_bins(values: numpy.ndarray) -> numpy.ndarray:
    """The bin of each of the sorted scores. Equal scores share the bin of their median
    position."""
    _, inverse, counts = numpy.unique(values, return_inverse=True, return_counts=True)
    # Twice the median position: an integer.
    middles = 2 * numpy.cumsum(counts) - counts
    return (middles * BINS // (2 * len(values)))[inverse]


def _bins(
    values: numpy.ndarray, right: numpy.ndarray, bins: numpy.ndarray
) -> list[dict[str, Any]]:
    rows = []
    for index in numpy.unique(bins):
        inside = bins == index
        scores = values[inside]
        rows.append(
            {
                "bin": int(index),
                "low": float(scores.min()),
                "high": float(scores.max()),
                "spans": len(scores),
                "score": float(scores.mean()),
                "right": float(right[inside].mean()),
            }
        )
    return rows


def _calibration_error(rows: list[dict[str, Any]]) -> float:
    spans = sum(row["spans"] for row in rows)
    gaps = (row["spans"] * abs(row["right"] - row["score"]) for row in rows)
    return float(sum(gaps) / spans)


def threshold_curve(
    scores: Sequence[float], correct: Sequence[bool], gold: int
) -> list[dict[str, float]]:
    """Compute precision, recall and F1 at each `min_score` that changes the result.

    scores (Sequence[float]): The score of each predicted span.
    correct (Sequence[bool]): Whether each predicted span is correct.
    gold (int): The number of gold spans.
    RETURNS (list[dict[str, float]]): Points with `min_score`, `p`, `r` and `f`, by
        increasing min_score; at most 200.
    """
    if not len(scores):
        return []
    order = numpy.argsort(-numpy.asarray(scores, dtype="float64"), kind="stable")
    ranked = numpy.asarray(scores, dtype="float64")[order]
    hits = numpy.cumsum(numpy.asarray(correct, dtype="int64")[order])
    # A threshold keeps or removes all spans of equal score.
    last = numpy.append(ranked[1:] != ranked[:-1], True)
    cuts = numpy.flatnonzero(last)
    if len(cuts) > MAX_CURVE_POINTS:
        steps = numpy.linspace(0, len(cuts) - 1, MAX_CURVE_POINTS)
        cuts = cuts[steps.round().astype(int)]
    points = []
    for cut in cuts[::-1]:
        predicted, right = int(cut) + 1, int(hits[cut])
        points.append(
            {
                "min_score": float(ranked[cut]),
                "p": right / predicted,
                "r": right / gold if gold else 0.0,
                "f": 2 * right / (predicted + gold),
            }
        )
    return points


def best_threshold(curve: Sequence[dict[str, float]]) -> dict[str, float] | None:
    """Get the point with the highest F1, or among equals the lowest min_score.

    curve (Sequence[dict[str, float]]): The result of `threshold_curve`.
    RETURNS (dict[str, float] | None): The point, or None if the curve is empty.
    """
    return max(curve, key=lambda point: point["f"], default=None)


# Fitting score maps

# The share of documents that are held out at a time when methods are compared.
FOLDS = 5
# With fewer spans, a map says more about chance than about the model.
MIN_SPANS = 50
# The ends of the search for a temperature, as natural logarithms.
_COOLEST, _HOTTEST = math.log(0.05), math.log(50.0)


def fit_temperature(scores: Sequence[float], correct: Sequence[bool]) -> ScoreMap:
    """Find the temperature with the highest likelihood.

    scores (Sequence[float]): The score of each predicted span.
    correct (Sequence[bool]): Whether each predicted span is correct.
    RETURNS (ScoreMap): The map.
    """
    odds = numpy.asarray([log_odds(score) for score in scores])
    # The sign turns each outcome into "correct".
    signed = numpy.where(numpy.asarray(correct), odds, -odds)

    def loss(log_temperature: float) -> float:
        return float(numpy.logaddexp(0, -signed / math.exp(log_temperature)).mean())

    # Golden-section search: the loss has one minimum.
    ratio = (math.sqrt(5) - 1) / 2
    low, high = _COOLEST, _HOTTEST
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return ScoreMap(TEMPERATURE, math.exp((low + high) / 2))


def fit_isotonic(scores: Sequence[float], correct: Sequence[bool]) -> ScoreMap:
    """Find the increasing function with the lowest squared error, by pooling adjacent
    violators (Ayer et al., 1955).

    The shares of the pools are shrunk towards one half, by half a span on each side, so
    that no score is exactly 0 or 1.

    scores (Sequence[float]): The score of each predicted span.
    correct (Sequence[bool]): Whether each predicted span is correct.
    RETURNS (ScoreMap): The map, which is linear between the mean scores of the pools.
    """
    order = numpy.argsort(numpy.asarray(scores, dtype="float64"), kind="stable")
    # Each pool: the sum of its scores, its correct spans, and its spans.
    pools: list[list[float]] = []
    last = None
    for index in order:
        score, right = float(scores[index]), float(correct[index])
        if score == last:
            # Spans with the same score can't be told apart.
            pools[-1] = [
                a + b for a, b in zip(pools[-1], (score, right, 1), strict=True)
            ]
        else:
            pools.append([score, right, 1])
        last = score
        while (
            len(pools) > 1
            and pools[-2][1] / pools[-2][2] >= pools[-1][1] / pools[-1][2]
        ):
            top = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], top, strict=True)]
    points: list[tuple[float, float]] = []
    for total, right, count in pools:
        share = (right + 0.5) / (count + 1)
        # Shrinking small pools may turn the order of two shares around.
        share = max(share, points[-1][1]) if points else share
        points.append((total / count, share))
    return ScoreMap(ISOTONIC, points=tuple(points))


_FITS = {TEMPERATURE: fit_temperature, ISOTONIC: fit_isotonic}


def fit_score_map(
    scores: Sequence[float],
    correct: Sequence[bool],
    documents: Sequence[int],
    method: str | None = None,
    seed: int = 0,
) -> tuple[ScoreMap | None, dict[str, Any]]:
    """Fit a score map, by the method that is better on held-out documents.

    The documents are divided into five parts. A method is fitted on four of them and
    applied to the fifth, in turn, so that each span gets a score from other documents.
    The method with the lowest Brier score is chosen and fitted on all documents.

    scores (Sequence[float]): The score of each predicted span.
    correct (Sequence[bool]): Whether each predicted span is correct.
    documents (Sequence[int]): The number of the document of each span.
    method (str | None): "temperature" or "isotonic". None for the better one.
    seed (int): The seed of the division.
    RETURNS (tuple[ScoreMap | None, dict[str, Any]]): The map, None if the scores are
        better as they are; and the facts: `spans`, `documents`, `before` with the `ece`
        and `brier` of the scores, and those of the held-out scores of each method.
    RAISES (ValueError): There are too few spans or documents, or the spans are all
        right or all wrong.
    """
    names = sorted(set(documents))
    if len(scores) < MIN_SPANS or len(names) < FOLDS or len(set(correct)) < 2:
        right = sum(correct)
        raise ValueError(
            Errors.G928.format(
                spans=len(scores),
                documents=len(names),
                right=right,
                least=MIN_SPANS,
                folds=FOLDS,
            )
        )
    shuffled = list(names)
    random.Random(seed).shuffle(shuffled)
    fold_of = {name: index % FOLDS for index, name in enumerate(shuffled)}
    folds = [fold_of[name] for name in documents]
    facts: dict[str, Any] = {"spans": len(scores), "documents": len(names)}
    facts["before"] = _errors_of(scores, correct)
    for name, fit in _FITS.items():
        held_out = [0.0] * len(scores)
        for fold in range(FOLDS):
            inside = [i for i, each in enumerate(folds) if each != fold]
            fitted = fit([scores[i] for i in inside], [correct[i] for i in inside])
            for index, each in enumerate(folds):
                if each == fold:
                    held_out[index] = fitted(scores[index])
        facts[name] = _errors_of(held_out, correct)
    chosen = method or min(_FITS, key=lambda name: facts[name]["brier"])
    if method is None and facts[chosen]["brier"] >= facts["before"]["brier"]:
        return None, facts
    fitted = _FITS[chosen](scores, correct)
    return replace(fitted, facts=facts), facts


def _errors_of(scores: Sequence[float], correct: Sequence[bool]) -> dict[str, float]:
    found = calibration(scores, correct)
    assert found is not None
    return {"ece": found["ece"], "brier": found["brier"]}
