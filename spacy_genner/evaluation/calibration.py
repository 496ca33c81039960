"""Calibration of scores and the precision-recall curve over thresholds."""

from collections.abc import Sequence
from typing import Any

import numpy

from ..errors import Errors

BINS = 10
# A product of float32 probabilities may come out above 1 by rounding.
ROUNDING = 1e-6


def calibration(
    scores: Sequence[float | None], correct: Sequence[bool]
) -> dict[str, Any] | None:
    """Hold the scores of predicted spans against how many of them are right.

    The expected calibration error is the mean, over the spans, of the difference of
    the mean score and the share of right spans in their bin: of ten bins of equal
    width (Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", 2015; Guo et al., "On Calibration of Modern Neural Networks", 2017), each
    with its upper end and without its lower one, the first with both; and of ten bins
    of as nearly the same number of spans as keeps spans of one score together. The
    Brier score is the mean squared difference of score and outcome (Brier, 1950).
    Missed spans have no score and take no part.

    scores (Sequence[Optional[float]]): The score of each predicted span, from 0 to 1;
        None where it has none.
    correct (Sequence[bool]): Whether it is right.
    RETURNS (Optional[Dict[str, Any]]): `spans` that take part, `left_out` without a
        score from 0 to 1, `mean_score`, `precision` (of those that take part), `ece`,
        `ece_equal_mass`, `brier`, and the bins `equal_width` and `equal_mass` with
        `low`, `high`, `spans`, `score` and `right` (their means), empty bins left out.
        None where no span takes part.
    RAISES (ValueError): There are not as many scores as outcomes.
    """
    if len(scores) != len(correct):
        raise ValueError(Errors.G615.format(scores=len(scores), found=len(correct)))
    values = numpy.asarray(scores, dtype="float64")
    right = numpy.asarray(correct, dtype="float64")
    with numpy.errstate(invalid="ignore"):
        usable = (values >= 0) & (values <= 1 + ROUNDING)
    values, right = numpy.minimum(values[usable], 1.0), right[usable]
    if not len(values):
        return None
    # Sums of floats depend on their order, and the order of documents is to change
    # nothing.
    order = numpy.lexsort((right, values))
    values, right = values[order], right[order]
    edges = numpy.arange(1, BINS) / BINS
    width = _bins(values, right, numpy.digitize(values, edges, right=True))
    for row in width:
        place = row.pop("bin")
        row["low"], row["high"] = place / BINS, (place + 1) / BINS
    mass = _bins(values, right, _equal_mass(values))
    for row in mass:
        del row["bin"]
    return {
        "spans": len(values),
        "left_out": int((~usable).sum()),
        "mean_score": float(values.mean()),
        "precision": float(right.mean()),
        "ece": _ece(width),
        "ece_equal_mass": _ece(mass),
        "brier": float(((values - right) ** 2).mean()),
        "equal_width": width,
        "equal_mass": mass,
    }


def _equal_mass(values: numpy.ndarray) -> numpy.ndarray:
    """The bin of each of some sorted scores: that of the middle one of its equals."""
    _, inverse, counts = numpy.unique(values, return_inverse=True, return_counts=True)
    # Twice the middle place, in whole numbers.
    middles = 2 * numpy.cumsum(counts) - counts
    return (middles * BINS // (2 * len(values)))[inverse]


def _bins(
    values: numpy.ndarray, right: numpy.ndarray, places: numpy.ndarray
) -> list[dict[str, Any]]:
    rows = []
    for place in numpy.unique(places):
        inside = places == place
        scores = values[inside]
        rows.append(
            {
                "bin": int(place),
                "low": float(scores.min()),
                "high": float(scores.max()),
                "spans": len(scores),
                "score": float(scores.mean()),
                "right": float(right[inside].mean()),
            }
        )
    return rows


def _ece(rows: list[dict[str, Any]]) -> float:
    spans = sum(row["spans"] for row in rows)
    gaps = (row["spans"] * abs(row["right"] - row["score"]) for row in rows)
    return float(sum(gaps) / spans)


POINTS = 200


def threshold_curve(
    scores: Sequence[float], correct: Sequence[bool], gold: int
) -> list[dict[str, float]]:
    """Scores at each `min_score` that makes a difference.

    scores (Sequence[float]): The score of each predicted span.
    correct (Sequence[bool]): Whether it is right.
    gold (int): The number of reference spans.
    RETURNS (List[Dict[str, float]]): `min_score`, `p`, `r` and `f`, by rising
        min_score; at most 200 points.
    """
    if not len(scores):
        return []
    order = numpy.argsort(-numpy.asarray(scores, dtype="float64"), kind="stable")
    ranked = numpy.asarray(scores, dtype="float64")[order]
    hits = numpy.cumsum(numpy.asarray(correct, dtype="int64")[order])
    # Spans of one score come and go together.
    last = numpy.append(ranked[1:] != ranked[:-1], True)
    places = numpy.flatnonzero(last)
    if len(places) > POINTS:
        places = places[numpy.linspace(0, len(places) - 1, POINTS).round().astype(int)]
    points = []
    for place in places[::-1]:
        found, right = int(place) + 1, int(hits[place])
        points.append(
            {
                "min_score": float(ranked[place]),
                "p": right / found,
                "r": right / gold if gold else 0.0,
                "f": 2 * right / (found + gold),
            }
        )
    return points


def best_threshold(curve: Sequence[dict[str, float]]) -> dict[str, float] | None:
    """The point with the highest F1, of equals that with the lowest min_score.

    curve (Sequence[Dict[str, float]]): What `threshold_curve` gave.
    RETURNS (Optional[Dict[str, float]]): The point; None where there is none.
    """
    return max(curve, key=lambda point: point["f"], default=None)
