"""Precision and recall over the least score that counts."""

from collections.abc import Sequence

import numpy

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
