"""Calibrated span scores: an increasing function of the model's probabilities.

The probability that a model gives a span is a product of the probabilities of its
decisions, and is often higher than the share of such spans that are right. A score map
turns it into that share. As it never decreases, it changes no span and no order.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TEMPERATURE, ISOTONIC = "temperature", "isotonic"
METHODS = (TEMPERATURE, ISOTONIC)
# Logits of probabilities beyond these are not finite, or rounding errors.
_LOWEST = 1e-7


@dataclass(frozen=True)
class ScoreMap:
    """A score map.

    method (str): "temperature": the log odds of a score are divided by a number (Guo et
        al., "On Calibration of Modern Neural Networks", 2017). "isotonic": a function
        that is linear between points (Zadrozny and Elkan, "Transforming Classifier
        Scores into Accurate Multiclass Probability Estimates", 2002).
    temperature (float): The number.
    points (tuple[tuple[float, float], ...]): Scores of the model and calibrated scores,
        both increasing.
    facts (Mapping[str, Any]): What it was fitted on, and with which result.
    """

    method: str
    temperature: float = 1.0
    points: tuple[tuple[float, float], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, score: float) -> float:
        """Calibrate a score.

        score (float): The score of the model.
        RETURNS (float): The calibrated score, from 0 to 1.
        """
        if self.method == TEMPERATURE:
            odds = log_odds(score) / self.temperature
            # exp overflows for large arguments.
            return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0
        right = bisect_right(self.points, (score, math.inf))
        if right == 0:
            return self.points[0][1]
        if right == len(self.points):
            return self.points[-1][1]
        (x1, y1), (x2, y2) = self.points[right - 1 : right + 1]
        return y1 + (y2 - y1) * (score - x1) / (x2 - x1)

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The map as JSON."""
        shape: dict[str, Any] = {"temperature": self.temperature}
        if self.method == ISOTONIC:
            shape = {"points": [list(point) for point in self.points]}
        return {"method": self.method, **shape, "facts": dict(self.facts)}

    @classmethod
    def from_json(cls, data: Any) -> "ScoreMap":
        """Read the result of `to_json`.

        data (Any): The JSON value.
        RETURNS (ScoreMap): The map.
        RAISES (ValueError | KeyError | TypeError): The value is something else.
        """
        method = data["method"]
        if method == TEMPERATURE:
            temperature = float(data["temperature"])
            if not 0 < temperature < math.inf:
                raise ValueError(f"the temperature {temperature!r}")
            return cls(method, temperature, facts=dict(data.get("facts", {})))
        if method != ISOTONIC:
            raise ValueError(f"the method {method!r}")
        points = tuple((float(x), float(y)) for x, y in data["points"])
        pairs = list(zip(points, points[1:], strict=False))
        is_increasing = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairs)
        if (
            not points
            or not is_increasing
            or not 0 <= points[0][1] <= points[-1][1] <= 1
        ):
            raise ValueError("points that are not increasing from 0 to 1")
        return cls(method, points=points, facts=dict(data.get("facts", {})))


def log_odds(score: float) -> float:
    """Get the log odds of a score.

    score (float): The score, from 0 to 1. It may exceed 1 by rounding.
    RETURNS (float): The natural logarithm of its odds, which is finite.
    """
    clipped = min(max(score, _LOWEST), 1 - _LOWEST)
    return math.log(clipped / (1 - clipped))
