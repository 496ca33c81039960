"""Settings of the component, checked where it is made."""

import math
from dataclasses import dataclass
from typing import Any

from .errors import Errors

SET_ENTS = ("outer", "inner", "none")
CROSSING = ("refuse", "drop")
# The constrained loss alone never asks a model to copy or to stop; a mix does, over a
# share of the tokens, so that it costs little more.
NAMED_LOSSES = {
    "constrained": {"constrained": 1.0},
    "lm": {"lm": 1.0},
    "mixed": {"constrained": 1.0, "lm": 0.5, "lm_share": 0.125},
}


def check_choice(key: str, found: Any, expected: tuple[str, ...]) -> None:
    """Check a setting that takes one of a few words.

    key (str): The setting.
    found (Any): Its value.
    expected (Tuple[str, ...]): The words.
    RAISES (ValueError): It is none of them.
    """
    if found not in expected:
        raise ValueError(Errors.G407.format(key=key, found=found, expected=expected))


def check_flag(key: str, found: Any) -> bool:
    """Check a setting that is true or false.

    key (str): The setting.
    found (Any): Its value.
    RETURNS (bool): The same.
    RAISES (ValueError): It is something else.
    """
    if not isinstance(found, bool):
        expected = "true, false"
        raise ValueError(Errors.G407.format(key=key, found=found, expected=expected))
    return found


def check_spans_key(found: str) -> str:
    """Check the name of a group of spans.

    found (str): The name.
    RETURNS (str): The same.
    RAISES (ValueError): It is empty, or white space alone.
    """
    if not found.strip():
        raise ValueError(Errors.G435.format(found=found))
    return found


def check_probability(key: str, found: Any) -> float:
    """Check a setting that is a probability.

    key (str): The setting.
    found (Any): Its value; a config's variables arrive as strings.
    RETURNS (float): The number.
    RAISES (ValueError): It is no number from 0 to 1.
    """
    try:
        number = math.nan if isinstance(found, bool) else float(found)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(Errors.G409.format(key=key, found=found))
    return number


def is_count(found: Any) -> bool:
    """Whether the value of a setting is a whole number of at least 1.

    found (Any): The value; a config's variables arrive as strings.
    RETURNS (bool): Whether it is.
    """
    return str(found).isdecimal() and int(found) >= 1


def check_count(key: str, found: Any) -> int:
    """Check a setting that is a whole number of at least 1.

    key (str): The setting.
    found (Any): Its value; a config's variables arrive as strings.
    RETURNS (int): The number.
    RAISES (ValueError): It is something else.
    """
    if not is_count(found):
        raise ValueError(Errors.G106.format(key=key, found=found))
    return int(found)


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

        loss (Union[str, Dict[str, float]]): "mixed", "constrained", "lm", or weights.
        RETURNS (LossWeights): The weights.
        RAISES (ValueError): It is something else, or all weights are 0.
        """
        if isinstance(loss, str) and loss in NAMED_LOSSES:
            return cls(**NAMED_LOSSES[loss])
        try:
            made = cls(**{key: float(value) for key, value in dict(loss).items()})  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ValueError(Errors.G408.format(found=loss)) from None
        weights = (made.constrained, made.lm)
        if not (min(weights) >= 0 < sum(weights) and 0 < made.lm_share <= 1):
            raise ValueError(Errors.G408.format(found=loss))
        return made
