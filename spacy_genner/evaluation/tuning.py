"""Choose settings of decoding on development data.

`tune` tries the values of one setting after the other, and starts again as long as that
improves the score, since the best values depend on each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Setting:
    """The settings of decoding that change what is found.

    head_weight (float): The weight of the draft head's scores.
    opening_bias (float): Added to the logit of opening a span.
    """

    head_weight: float
    opening_bias: float

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in asdict(self).items())


# The values to try.
VALUES: dict[str, tuple[float, ...]] = {
    "head_weight": (0.0, 0.25, 0.5, 0.75, 1.0, 1.5),
    "opening_bias": (-0.5, 0.0, 0.5, 1.0, 1.5),
}


def tune(
    score: Callable[[Setting], float],
    start: Setting,
    values: Mapping[str, Sequence[float]] = VALUES,
) -> dict[Setting, float]:
    """Score settings, each once, until no change of one value is better.

    score (Callable[[Setting], float]): Scores a setting; higher is better.
    start (Setting): The first setting.
    values (Mapping[str, Sequence[float]]): The values to try by the names of the
        settings. Other settings keep their first value.
    RETURNS (dict[Setting, float]): The score of each setting, in the order in which
        they were tried. `best` is the first one with the highest score.
    """
    scores = {start: score(start)}
    before = None
    while before != best(scores):
        before = best(scores)
        for name, candidates in values.items():
            at = best(scores)
            for value in candidates:
                setting = replace(at, **{name: value})
                if setting not in scores:
                    scores[setting] = score(setting)
    return scores


def best(scores: dict[Setting, float]) -> Setting:
    """RETURNS (Setting): The first setting with the highest score."""
    return max(scores, key=lambda setting: scores[setting])
