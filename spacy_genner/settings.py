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
    """

    constrained: float
    lm: float

    @classmethod
    def from_config(cls, loss: str | dict[str, float]) -> "LossWeights":
        """Check what the config says.

        loss (Union[str, Dict[str, float]]): "constrained", "lm", or weights.
        RETURNS (LossWeights): The weights.
        RAISES (ValueError): It is something else, or all weights are 0.
        """
        if loss == "constrained":
            return cls(1.0, 0.0)
        if loss == "lm":
            return cls(0.0, 1.0)
        try:
            weights = {key: float(value) for key, value in dict(loss).items()}  # type: ignore[arg-type]
            made = cls(weights.pop("constrained", 0.0), weights.pop("lm", 0.0))
        except (TypeError, ValueError):
            raise ValueError(Errors.G408.format(found=loss)) from None
        low = min(made.constrained, made.lm)
        if weights or low < 0 or made.constrained + made.lm <= 0:
            raise ValueError(Errors.G408.format(found=loss))
        return made
