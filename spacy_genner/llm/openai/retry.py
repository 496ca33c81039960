"""Retries: waiting times, when to give up, and requests that a server supports.

A failed attempt is classified by `classify_error`. A `RetryBudget` limits the attempts
of one prompt, the `RateLimiter` holds back all requests while the server asks for a
pause, the `CircuitBreaker` ends a run when nothing succeeds, and `CapabilityFallback`
leaves out the parameters that a server refuses.
"""

import asyncio
import math
import random
import re
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from ...errors import Errors, Warnings
from .protocol import ErrorResponse, TokenIds, json_object_format
from .settings import AUTO, RemoteSettings

# Seconds: the upper bounds of the first backoff and of any backoff.
_FIRST_BACKOFF = 0.5
_MAX_BACKOFF = 30.0
# Seconds of uncounted waiting for rate limits: of one prompt, and of all prompts while
# none is answered.
_MAX_LIMITED = 600.0
# Consecutive prompts, or as many as are in flight if that is more, whose failure opens
# the circuit.
_MIN_FAILED_PROMPTS = 8
# The factor for a server that has answered before. Some texts make a server fail, and
# they may follow each other.
_PROVEN = 2

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[smhd])")
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SECONDS |= {"m": 60.0, "h": 3600.0, "d": 86400.0}
# The suffixes of the headers of each rate limit.
_LIMITS = ("", "-requests", "-tokens")
# Numbers above these are times in seconds or milliseconds since 1970.
_EPOCH, _EPOCH_MS = 1e9, 1e12

_RETRYABLE = (408, 409, 425, 429)
_TOO_LONG = (
    "context_length",
    "context length",
    "context window",
    "context size",
    "maximum context",
    "too long",
    "too many tokens",
    "tokens is too large",
    "maximum allowed number of output tokens",
)
_NO_CREDIT = ("insufficient_quota", "billing")
_SCHEMA = ("response_format", "json_schema", "structured", "schema", "grammar")

_FEWER_ALTERNATIVES = 5
# The levels of `response_format`: OpenAI's form, that of llama-cpp-python, or none.
_JSON_SCHEMA, _JSON_OBJECT, _UNSTRUCTURED = range(3)
# The levels of `logprobs`: all alternatives, fewer, or no log-probabilities.
_ALL, _FEWER, _NO_LOGPROBS = range(3)
# Parameters that constrain an answer, and all those that change it if they are left
# out. Of the two names of a grammar, a server may know one.
_GRAMMARS = ("grammar", "structured_outputs")
STRUCTURE = frozenset({"response_format", *_GRAMMARS})
_ESSENTIAL = ("response_format", *_GRAMMARS, "logprobs")


class RemoteError(Exception):
    """A prompt without an answer. The message is one of `Errors`."""


@dataclass(frozen=True)
class Clock:
    """Clock and random source, injectable for tests.

    sleep (Callable[[float], Awaitable]): Waits for some seconds.
    monotonic (Callable[[], float]): A monotonic time in seconds.
    now (Callable[[], float]): Seconds since 1970.
    draw (Callable[[], float]): A random number from 0 to 1.
    """

    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    draw: Callable[[], float] = random.random

    def backoff(self, failures: int) -> float:
        """Draw the waiting time after a failure: exponential backoff with full jitter
        (Brooker, "Exponential Backoff And Jitter", 2015).

        failures (int): The number of failures so far, from 1.
        RETURNS (float): Seconds.
        """
        bound = _FIRST_BACKOFF * 2.0 ** min(failures - 1, 30)
        return self.draw() * min(_MAX_BACKOFF, bound)


class RateLimiter:
    """Holds back all requests while the server asks for a pause."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._until = -math.inf

    def pause(self, seconds: float) -> None:
        """Hold back requests for some seconds, or until a pause in progress ends."""
        self._until = max(self._until, self._clock.monotonic() + seconds)

    async def wait(self) -> None:
        """Wait until the pause is over."""
        while (left := self._until - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)


class RetryBudget:
    """The number of attempts and the waiting time that one prompt has left.

    clock (Clock): The clock.
    max_tries (int): The number of failed attempts.
    """

    def __init__(self, clock: Clock, max_tries: int):
        self._clock = clock
        self._left = max_tries
        self._failures = 0
        self._waited = 0.0

    @property
    def is_exhausted(self) -> bool:
        """Whether no attempt is left."""
        return self._left <= 0

    def record_failure(
        self, requested: float | None, is_rate_limit: bool, outage: float
    ) -> float:
        """Count a failed attempt.

        requested (float | None): The seconds that the server asks to wait.
        is_rate_limit (bool): Whether a rate limit was the reason.
        outage (float): The seconds since a prompt was last answered.
        RETURNS (float): The seconds of backoff.
        """
        self._failures += 1
        backoff = self._clock.backoff(self._failures)
        wait = (requested or 0.0) + backoff
        # The request was sent too early, so the prompt did not fail.
        if is_rate_limit and requested:
            if max(self._waited + wait, outage) <= _MAX_LIMITED:
                self._waited += wait
                return backoff
        self._left -= 1
        return backoff


class CircuitBreaker:
    """Counts consecutive failures, to end a run when nothing succeeds.

    clock (Clock): The clock.
    max_concurrent (int): The maximum number of requests in flight.
    """

    def __init__(self, clock: Clock, max_concurrent: int):
        self._clock = clock
        self._limit = max(_MIN_FAILED_PROMPTS, max_concurrent)
        self._since: float | None = None
        self.has_answered = False
        self.failed_prompts = 0

    @property
    def is_open(self) -> bool:
        """Whether no more requests are to be sent."""
        return self.failed_prompts >= self._limit * (
            _PROVEN if self.has_answered else 1
        )

    def record_failure(self) -> float:
        """Count a failed attempt.

        RETURNS (float): The seconds since the first failure in a row.
        """
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since

    def reset(self, answered: bool) -> None:
        """End a series of failures, as a prompt was answered, or refused by a server
        that works."""
        self.has_answered = self.has_answered or answered
        self._since = None
        self.failed_prompts = 0


def requested_wait(
    headers: Mapping[str, str], now: float, is_rate_limit: bool
) -> float | None:
    """Read how long a server asks to wait after a failed request.

    headers (Mapping[str, str]): The headers of the response, by lower-case names.
    now (float): Seconds since 1970.
    is_rate_limit (bool): Whether a rate limit was the reason.
    RETURNS (float | None): Seconds. None if no header names a time.
    """
    wait = _parse_number(headers.get("retry-after-ms"))
    if wait is not None:
        return max(0.0, wait / 1000)
    after = headers.get("retry-after", "").strip()
    if after:
        wait = _parse_number(after)
        return max(0.0, wait) if wait is not None else _seconds_until(after, now)
    if not is_rate_limit:
        return None
    wait = exhausted_wait(headers, now)
    # If no limit is marked as exhausted, any may be: the first to end is tried.
    return min(_resets(headers, now, _LIMITS), default=None) if wait is None else wait


def exhausted_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Read how long the rate limits of a response stay exhausted.

    headers (Mapping[str, str]): The headers of the response, by lower-case names.
    now (float): Seconds since 1970.
    RETURNS (float | None): Seconds. None if no limit is exhausted.
    """
    exhausted = [
        limit
        for limit in _LIMITS
        if _parse_number(headers.get(f"x-ratelimit-remaining{limit}")) == 0
    ]
    return max(_resets(headers, now, exhausted), default=None)


def _resets(
    headers: Mapping[str, str], now: float, limits: Sequence[str]
) -> list[float]:
    values = (headers.get(f"x-ratelimit-reset{limit}") for limit in limits)
    waits = (_parse_duration(value, now) for value in values)
    return [wait for wait in waits if wait is not None]


def _parse_duration(value: str | None, now: float) -> float | None:
    """Seconds, from `1m30.5s`, a number of seconds, or a time since 1970."""
    number = _parse_number(value)
    if number is not None:
        if number >= _EPOCH_MS:
            number = number / 1000 - now
        elif number >= _EPOCH:
            number -= now
        return max(0.0, number)
    text = (value or "").strip()
    if not text or _DURATION.sub("", text):
        return None
    return sum(float(n) * _SECONDS[unit] for n, unit in _DURATION.findall(text))


def _seconds_until(date: str, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _parse_number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


class Failure(NamedTuple):
    """The classification of a failed attempt.

    reason (str): The reason. If `retry` is False, a complete message.
    retry (bool): Whether the same request may succeed later.
    is_fatal (bool): Whether all other requests would fail as well.
    unless_proven (bool): Whether `is_fatal` only holds if no request has succeeded.
    """

    reason: str
    retry: bool = False
    is_fatal: bool = False
    unless_proven: bool = False


def classify_error(error: ErrorResponse, settings: RemoteSettings) -> Failure:
    """Classify an error of the server, whose message must not hold the API key."""
    env, status = settings.api_key_env, error.status
    values: dict[str, Any] = {
        "url": settings.base_url,
        "model": settings.name,
        "path": settings.path,
        "status": status,
        "said": error.message,
        "env": env or "(none: api_key_env is null)",
    }
    if status == 401:
        values["remedy"] = (
            f"Set the environment variable {env} to a valid key."
            if env
            else "Set 'api_key_env' to the environment variable of a key."
        )
        return Failure(Errors.G710.format(**values), is_fatal=True)
    if status == 402 or (status == 429 and _mentions(error, _NO_CREDIT)):
        return Failure(Errors.G713.format(**values), is_fatal=True)
    if status in _RETRYABLE or (status >= 500 and not is_unsupported(error)):
        return Failure(f"{status}: {error.message}", retry=True)
    if status == 403:
        return Failure(Errors.G711.format(**values), is_fatal=True, unless_proven=True)
    if status in (404, 405) or status < 400:
        return Failure(Errors.G712.format(**values), is_fatal=True, unless_proven=True)
    if is_too_long(error):
        return Failure(Errors.G714.format(**values))
    if settings.structured is True and _mentions(error, _SCHEMA):
        return Failure(Errors.G716.format(**values))
    return Failure(Errors.G715.format(**values))


def is_too_long(error: ErrorResponse) -> bool:
    """RETURNS (bool): Whether the request was refused for its length."""
    return error.status == 413 or (
        error.status in (400, 422) and _mentions(error, _TOO_LONG)
    )


def is_unsupported(error: ErrorResponse) -> bool:
    """RETURNS (bool): Whether a parameter was refused with a status of 500, as
    llama-cpp-python's server does."""
    names = ("response_format", "logprobs is not", "grammar", "validation error")
    return error.status == 500 and _mentions(error, names)


def _refuses_ids(error: ErrorResponse) -> bool:
    """Whether a prompt of token ids was refused for its type."""
    return _mentions(error, ("prompt",)) and not is_too_long(error)


def _mentions(error: ErrorResponse, words: Sequence[str]) -> bool:
    return any(word in error.description for word in words)


def dropped_parameters(body: dict[str, Any], sent: dict[str, Any]) -> tuple[str, ...]:
    """List the parameters of a request body that were not sent although they change the
    answer."""
    return tuple(key for key in _ESSENTIAL if key in body and key not in sent)


class CapabilityFallback:
    """Adapts requests to a server. It learns from errors which parameters the server
    does not support. It is used by several threads."""

    def __init__(self, settings: RemoteSettings):
        self._settings = settings
        self._lock = threading.Lock()
        self._warnings: list[str] = []
        self._format = _JSON_SCHEMA
        self._logprobs = _ALL
        self._has_new_limit_name = False
        self._has_warned_of_logprobs = False
        self._takes_ids = True
        self._takes_grammars = True

    def adapt(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make the body to send: without parameters that the server does not
        support."""
        adapted = dict(body)
        if "response_format" in adapted and self._format == _JSON_OBJECT:
            adapted["response_format"] = json_object_format(adapted["response_format"])
        elif self._format == _UNSTRUCTURED:
            adapted.pop("response_format", None)
        prompt = adapted.get("prompt")
        if isinstance(prompt, TokenIds) and not self._takes_ids:
            adapted["prompt"] = prompt.text
        if not self._takes_grammars:
            for name in _GRAMMARS:
                adapted.pop(name, None)
        if self._has_new_limit_name and "max_tokens" in adapted:
            adapted["max_completion_tokens"] = adapted.pop("max_tokens")
        if self._logprobs and "logprobs" in adapted:
            if "top_logprobs" in adapted and self._logprobs == _FEWER:
                adapted["top_logprobs"] = _FEWER_ALTERNATIVES
            else:
                adapted.pop("logprobs")
                adapted.pop("top_logprobs", None)
        return adapted

    def learn(self, sent: dict[str, Any], error: ErrorResponse) -> None:
        """Learn from an error which parameter of the sent body is not supported."""
        with self._lock:
            if "max_tokens" in sent and _mentions(error, ("max_completion_tokens",)):
                self._has_new_limit_name = True
            elif isinstance(sent.get("prompt"), TokenIds) and _refuses_ids(error):
                self._learn_text(error)
            elif "logprobs" in sent and _mentions(error, ("logprob",)):
                if sent.get("top_logprobs", 0) <= _FEWER_ALTERNATIVES:
                    message = Warnings.W701
                    if self._settings.adapter is not None:
                        message = Warnings.W842
                    self._warn_of_logprobs(error.message, message)
                    self._logprobs = _NO_LOGPROBS
                else:
                    self._logprobs = max(self._logprobs, _FEWER)
            elif "response_format" in sent and _mentions(error, _SCHEMA):
                self._learn_format(sent["response_format"], error)
            elif any(name in sent for name in _GRAMMARS) and _mentions(error, _SCHEMA):
                self._learn_grammar(error)

    def _learn_text(self, error: ErrorResponse) -> None:
        if self._takes_ids:
            values = {"url": self._settings.base_url, "said": error.message}
            self._warnings.append(Warnings.W840.format(**values))
        self._takes_ids = False

    def _learn_grammar(self, error: ErrorResponse) -> None:
        if self._settings.structured != AUTO:
            return
        if self._takes_grammars:
            values = {"url": self._settings.base_url, "said": error.message}
            self._warnings.append(Warnings.W841.format(**values))
        self._takes_grammars = False

    def _learn_format(self, sent: dict[str, Any], error: ErrorResponse) -> None:
        # Several requests of either form may be in flight.
        if sent["type"] == "json_schema" and _mentions(error, ("json_object",)):
            self._format = max(self._format, _JSON_OBJECT)
        elif self._settings.structured == AUTO:
            if self._format != _UNSTRUCTURED:
                values = {"url": self._settings.base_url, "said": error.message}
                self._warnings.append(Warnings.W700.format(**values))
            self._format = _UNSTRUCTURED

    def note_missing_logprobs(self) -> None:
        """Note that a cached answer has no log-probabilities."""
        with self._lock:
            self._warn_of_logprobs("an answer in the cache has none", Warnings.W701)

    def _warn_of_logprobs(self, reason: str, message: str) -> None:
        if not self._has_warned_of_logprobs:
            values = {"url": self._settings.base_url, "said": reason}
            self._warnings.append(message.format(**values))
        self._has_warned_of_logprobs = True

    def add_warning(self, message: str) -> None:
        """Keep a warning, to be shown in the caller's thread."""
        with self._lock:
            self._warnings.append(message)

    def take_warnings(self) -> list[str]:
        """RETURNS (list[str]): The warnings since the last call."""
        with self._lock:
            warnings, self._warnings = self._warnings, []
        return warnings
