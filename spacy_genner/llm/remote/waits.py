"""How long to wait: what a server says, back-off, and a gate that holds all back."""

import asyncio
import math
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

# Seconds: the first back-off at most, and any.
_FIRST = 0.5
_MOST = 30.0
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[smhd])")
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SECONDS |= {"m": 60.0, "h": 3600.0, "d": 86400.0}
_KINDS = ("", "-requests", "-tokens")
# Seconds that waits which a server asked for may take in all, of one question, and of
# all while none is answered.
_LONGEST_SUM = 600.0
# Numbers above these are moments, in seconds or milliseconds since 1970.
_EPOCH, _EPOCH_MS = 1e9, 1e12


@dataclass(frozen=True)
class Timing:
    """Time and chance, which a test replaces.

    sleep (Callable[[float], Awaitable]): Waits some seconds.
    clock (Callable[[], float]): Seconds that only grow.
    now (Callable[[], float]): Seconds since 1970.
    draw (Callable[[], float]): A random number from 0 to 1.
    """

    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    draw: Callable[[], float] = random.random

    def backoff(self, failures: int) -> float:
        """How long to wait by oneself: exponential back-off with full jitter (Brooker,
        "Exponential Backoff And Jitter", 2015).

        failures (int): How many there were, from 1.
        RETURNS (float): Seconds.
        """
        return self.draw() * min(_MOST, _FIRST * 2.0 ** min(failures - 1, 30))


class Gate:
    """Holds all workers back while the server asks for a pause.

    timing (Timing): Time.
    """

    def __init__(self, timing: Timing):
        self._timing = timing
        self._until = -math.inf

    def close_for(self, seconds: float) -> None:
        """Hold back everyone who comes within some time.

        seconds (float): How long from now; a longer pause that is on stays.
        """
        self._until = max(self._until, self._timing.clock() + seconds)

    async def wait(self) -> None:
        """Wait until the pause is over."""
        while (left := self._until - self._timing.clock()) > 0:
            await self._timing.sleep(left)


class Patience:
    """How often and how long one question is tried.

    timing (Timing): Time and chance.
    max_tries (int): How often it may fail.
    """

    def __init__(self, timing: Timing, max_tries: int):
        self._timing = timing
        self._left = max_tries
        self._failures = 0
        self._waited = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the question counts as failed."""
        return self._left <= 0

    def failed(self, asked: float | None, limited: bool, since: float) -> float:
        """Count a failure.

        asked (Optional[float]): Seconds that the server asks to wait.
        limited (bool): Whether it was a rate limit.
        since (float): For how many seconds no question has been answered.
        RETURNS (float): Seconds to wait by oneself.
        """
        self._failures += 1
        own = self._timing.backoff(self._failures)
        wait = (asked or 0.0) + own
        # A server that names the time was asked too early: the question did not fail.
        if limited and asked and max(self._waited + wait, since) <= _LONGEST_SUM:
            self._waited += wait
        else:
            self._left -= 1
        return own


def asked_wait(headers: Mapping[str, str], now: float, limited: bool) -> float | None:
    """How long a server that failed a request asks to wait.

    headers (Mapping[str, str]): Headers of its response, with small letters.
    now (float): Seconds since 1970.
    limited (bool): Whether it is a rate limit that failed it.
    RETURNS (Optional[float]): Seconds; None where it does not say.
    """
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        return max(0.0, wait / 1000)
    after = headers.get("retry-after", "").strip()
    if after:
        wait = _number(after)
        return max(0.0, wait) if wait is not None else _until(after, now)
    if not limited:
        return None
    spent = spent_wait(headers, now)
    # Where it does not say which of its limits it was, the first to end may be it.
    return (
        spent if spent is not None else min(_resets(headers, now, _KINDS), default=None)
    )


def spent_wait(headers: Mapping[str, str], now: float) -> float | None:
    """How long until there is more of what a response says is used up.

    headers (Mapping[str, str]): Headers of a response, with small letters.
    now (float): Seconds since 1970.
    RETURNS (Optional[float]): Seconds; None where nothing is used up.
    """
    spent = [
        kind
        for kind in _KINDS
        if _number(headers.get(f"x-ratelimit-remaining{kind}")) == 0
    ]
    return max(_resets(headers, now, spent), default=None)


def _resets(
    headers: Mapping[str, str], now: float, kinds: Sequence[str]
) -> list[float]:
    said = (_duration(headers.get(f"x-ratelimit-reset{kind}"), now) for kind in kinds)
    return [wait for wait in said if wait is not None]


def _duration(value: str | None, now: float) -> float | None:
    """Seconds of `1m30.5s`, of a plain number, or until a moment."""
    number = _number(value)
    if number is not None:
        if number >= _EPOCH_MS:
            number = number / 1000 - now
        elif number >= _EPOCH:
            number -= now
        return max(0.0, number)
    text = (value or "").strip()
    if not text or _PARTS.sub("", text):
        return None
    return sum(float(count) * _SECONDS[unit] for count, unit in _PARTS.findall(text))


def _until(date: str, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
