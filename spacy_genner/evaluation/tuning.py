"""Choose settings of decoding on development data.

`tune` tries values of two settings by turns, since their best values depend on each
other: the weight of the draft head, then the bias of opening a span, then the weight
again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# The values to try.
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
BIASES = (-0.5, 0.0, 0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Setting:
    """The settings of decoding that change what is found.

    head_weight (float): The weight of the draft head's scores.
    opening_bias (float): Added to the logit of opening a span.
    """

    head_weight: float
    opening_bias: float


def tune(
    score: Callable[[Setting], float],
    start: Setting,
    weights: Sequence[float] = WEIGHTS,
    biases: Sequence[float] = BIASES,
) -> dict[Setting, float]:
    """Score settings, each once, until no change of one value is better.

    score (Callable[[Setting], float]): Scores a setting; higher is better.
    start (Setting): The first setting.
    weights (Sequence[float]): The weights to try. Empty to keep the first.
    biases (Sequence[float]): The biases to try. Empty to keep the first.
    RETURNS (dict[Setting, float]): The score of each setting, in the order in which
        they were tried. `best` is the first one with the highest score.
    """
    scores = {start: score(start)}

    def try_all(settings: list[Setting]) -> None:
        for setting in settings:
            if setting not in scores:
                scores[setting] = score(setting)

    before = None
    while before != best(scores):
        before = at = best(scores)
        try_all([Setting(weight, at.opening_bias) for weight in weights])
        at = best(scores)
        try_all([Setting(at.head_weight, bias) for bias in biases])
    return scores


def best(scores: dict[Setting, float]) -> Setting:
    """RETURNS (Setting): The first setting with the highest score."""
    return max(scores, key=lambda setting: scores[setting])
