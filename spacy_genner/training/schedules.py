"""Learning rates."""

import math
from typing import Any

from thinc.api import Schedule

from ..errors import Errors


def cosine_warmup(
    initial_rate: float,
    total_steps: int,
    warmup_share: float = 0.1,
    final_share: float = 0.0,
) -> Schedule:
    """A linear rise, then half a cosine down: the `spacy-genner.CosineWarmup.v1`
    schedule.

    initial_rate (float): The highest learning rate.
    total_steps (int): Optimizer steps of the whole run; later ones stay at the end.
    warmup_share (float): The share of them in which the rate rises.
    final_share (float): What is left of the highest rate at the end.
    RETURNS (Schedule): The schedule.
    RAISES (ValueError): total_steps is below 1, or a share is not within 0 and 1.
    """
    if total_steps < 1:
        raise ValueError(Errors.G301.format(found=total_steps))
    for name, share in (("warmup_share", warmup_share), ("final_share", final_share)):
        if not 0.0 <= share <= 1.0:
            raise ValueError(Errors.G302.format(name=name, found=share))
    return Schedule(
        "cosine_warmup",
        _rate,
        attrs={
            "initial_rate": initial_rate,
            "total_steps": total_steps,
            "warmup_steps": max(1, round(total_steps * warmup_share)),
            "final_share": final_share,
        },
    )


def _rate(schedule: Schedule, step: int, **kwargs: Any) -> float:
    attrs = schedule.attrs
    warmup: int = attrs["warmup_steps"]
    rate: float = attrs["initial_rate"]
    if step < warmup:
        return rate * (step + 1) / warmup
    rest = max(1, attrs["total_steps"] - warmup)
    done = min(1.0, (step - warmup) / rest)
    cosine = 0.5 * (1.0 + math.cos(math.pi * done))
    final: float = attrs["final_share"]
    return rate * (final + (1.0 - final) * cosine)
