"""Learning rates."""

import math
from collections.abc import Generator
from typing import Any, Union

from ..errors import Errors

NAME = "spacy-genner.CosineWarmup.v1"
# A whole number, or one that an interpolated variable has made a string.
Number = Union[int, float, str]  # noqa: UP007


def cosine_warmup(
    initial_rate: Number,
    total_steps: Number,
    warmup_share: Number = 0.1,
    final_share: Number = 0.0,
) -> Generator[float, None, None]:
    """A linear rise, then half a cosine down: the `spacy-genner.CosineWarmup.v1`
    schedule.

    A config does not know how many steps its corpus makes. `spacy genner train`
    counts them where `total_steps` is 0, and `spacy genner init-config` writes them.

    initial_rate (float): The highest learning rate.
    total_steps (int): Optimizer steps of the whole run; later ones stay at the end.
    warmup_share (float): The share of them in which the rate rises.
    final_share (float): What is left of the highest rate at the end.
    RETURNS (Generator[float, None, None]): The rate of each step, without end.
    RAISES (ValueError): total_steps is below 1, a share is not within 0 and 1, or
        one of them is no number.
    """
    steps = _number("total_steps", total_steps)
    if steps < 1 or steps != int(steps):
        raise ValueError(Errors.G301.format(found=total_steps))
    rate = _number("initial_rate", initial_rate)
    shares = {"warmup_share": warmup_share, "final_share": final_share}
    checked = {}
    for name, share in shares.items():
        checked[name] = _number(name, share)
        if not 0.0 <= checked[name] <= 1.0:
            raise ValueError(Errors.G302.format(name=name, found=share))
    warmup = max(1, round(steps * checked["warmup_share"]))
    return _rates(rate, int(steps), warmup, checked["final_share"])


def _number(name: str, found: Any) -> float:
    try:
        return float(found)
    except (TypeError, ValueError):
        raise ValueError(Errors.G308.format(name=name, found=found)) from None


def _rates(
    rate: float, total: int, warmup: int, final: float
) -> Generator[float, None, None]:
    for step in range(warmup):
        yield rate * (step + 1) / warmup
    rest = max(1, total - warmup)
    for step in range(rest):
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / rest))
        yield rate * (final + (1.0 - final) * cosine)
    while True:
        yield rate * final
