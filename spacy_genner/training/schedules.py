"""Learning rate schedules."""

import math
from collections.abc import Generator
from typing import Any, Union

from ..errors import Errors

NAME = "spacy-genner.CosineWarmup.v1"
# An interpolated variable of a config arrives as a string.
Number = Union[int, float, str]  # noqa: UP007


def cosine_warmup(
    initial_rate: Number,
    total_steps: Number,
    warmup_share: Number = 0.1,
    final_share: Number = 0.0,
) -> Generator[float, None, None]:
    """A linear warm-up, followed by half a cosine. Registered as the schedule
    `spacy-genner.CosineWarmup.v1` (Loshchilov and Hutter, "SGDR: Stochastic Gradient
    Descent with Warm Restarts", 2017).

    A config does not contain the number of steps in its corpus. If `total_steps` is 0,
    `spacy genner train` computes it; `spacy genner init-config` writes it.

    initial_rate (float): The highest learning rate.
    total_steps (int): The number of optimizer steps of the whole run. Later steps have
        the final rate.
    warmup_share (float): The share of the steps in which the rate rises.
    final_share (float): The final rate, as a share of the highest.
    RETURNS (Generator[float, None, None]): The rate of each step, without end.
    RAISES (ValueError): `total_steps` is below 1, a share is not from 0 to 1, or a
        value is not a number.
    """
    steps = _step_count(total_steps)
    rate = _number("initial_rate", initial_rate)
    warmup = _share("warmup_share", warmup_share)
    final = _share("final_share", final_share)
    return _rates(rate, steps, max(1, round(steps * warmup)), final)


def warmup_stable_decay(
    initial_rate: Number,
    total_steps: Number,
    warmup_share: Number = 0.02,
    decay_share: Number = 0.2,
) -> Generator[float, None, None]:
    """A linear warm-up, a constant rate, and a linear decay to 0. Registered as the
    schedule `spacy-genner.WarmupStableDecay.v1` (Hu et al., "MiniCPM", 2024).

    A checkpoint from the constant part can be trained on for any number of steps.

    initial_rate (float): The highest learning rate.
    total_steps (int): The number of optimizer steps of the whole run, at least 1. Later
        steps have the rate 0.
    warmup_share (float): The share of the steps in which the rate rises.
    decay_share (float): The share of the steps in which the rate falls.
    RETURNS (Generator[float, None, None]): The rate of each step, without end.
    RAISES (ValueError): `total_steps` is below 1, a share is not from 0 to 1, or a
        value is not a number.
    """
    steps = _step_count(total_steps)
    rate = _number("initial_rate", initial_rate)
    warmup = max(1, round(steps * _share("warmup_share", warmup_share)))
    decay = max(1, round(steps * _share("decay_share", decay_share)))

    def rates() -> Generator[float, None, None]:
        for step in range(steps):
            rising = (step + 1) / warmup
            falling = (steps - step) / (decay + 1)
            yield rate * min(1.0, rising, falling)
        while True:
            yield 0.0

    return rates()


def _step_count(found: Any) -> int:
    steps = _number("total_steps", found)
    if steps < 1 or steps != int(steps):
        raise ValueError(Errors.G301.format(found=found))
    return int(steps)


def _number(name: str, found: Any) -> float:
    try:
        return float(found)
    except (TypeError, ValueError):
        raise ValueError(Errors.G308.format(name=name, found=found)) from None


def _share(name: str, found: Any) -> float:
    share = _number(name, found)
    if not 0.0 <= share <= 1.0:
        raise ValueError(Errors.G302.format(name=name, found=found))
    return share


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
