"""Settings of the component, checked where it is made."""

from dataclasses import dataclass
from typing import Any

from .errors import Errors

SET_ENTS = ("outer", "inner", "none")
CROSSING = ("refuse", "drop")


def check_choice(key: str, found: Any, expected: tuple[str, ...]) -> None:
    """Check a setting that takes one of a few words.

    key (str): The setting.
    found (Any): Its value.
    expected (Tuple[str, ...]): The words.
    RAISES (ValueError): It is none of them.
    """
    if found not in expected:
        raise ValueError(Errors.G407.format(key=key, found=found, expected=expected))


@dataclass(frozen=True)
class LossWeights:
    """The weights of the two losses.

    constrained (float): Of the one over the legal tokens, where there are several.
    lm (float): Of the one over the whole vocabulary.
    lm_share (float): The share of output tokens, drawn anew at each update, over which
        the latter is computed: above 0, at most 1. Its expectation is that of all.
    """

    constrained: float = 0.0
    lm: float = 0.0
    lm_share: float = 1.0

    @classmethod
    def from_config(cls, loss: str | dict[str, float]) -> "LossWeights":
        """Check what the config says.

        loss (Union[str, Dict[str, float]]): "constrained", "lm", or weights.
        RETURNS (LossWeights): The weights.
        RAISES (ValueError): It is something else, or all weights are 0.
        """
        if loss in ("constrained", "lm"):
            return cls(**{str(loss): 1.0})
        try:
            made = cls(**{key: float(value) for key, value in dict(loss).items()})  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ValueError(Errors.G408.format(found=loss)) from None
        weights = (made.constrained, made.lm)
        if not (min(weights) >= 0 < sum(weights) and 0 < made.lm_share <= 1):
            raise ValueError(Errors.G408.format(found=loss))
        return made
