"""Backoff, rate limiter, retry budget, circuit breaker and capability fallback."""

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
from .protocol import APIError, as_json_object
from .settings import AUTO, RemoteSettings

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
class Clock:
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


class RateLimiter:
    """Holds all workers back while the server asks for a pause.

    timing (Clock): Time.
    """

    def __init__(self, timing: Clock):
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


class RetryBudget:
    """How often and how long one question is tried.

    timing (Clock): Time and chance.
    max_tries (int): How often it may fail.
    """

    def __init__(self, timing: Clock, max_tries: int):
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


# A server that gave none to so many questions in a row, or to so many as are under way
# at a time, is gone.
_HOPELESS = 8
# It gets this many times the patience where it did answer before: some texts, which may
# stand together, make a server fail.
_PROVEN = 2


class CircuitBreaker:
    """Failures in a row of all questions of a call.

    timing (Clock): Time.
    max_concurrent (int): How many questions are under way at a time.
    """

    def __init__(self, timing: Clock, max_concurrent: int):
        self._timing = timing
        self._most = max(_HOPELESS, max_concurrent)
        self._since: float | None = None
        self.has_answered = False
        self.given_up = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether no other question is to be sent."""
        return self.given_up >= self._most * (_PROVEN if self.has_answered else 1)

    def failed(self) -> float:
        """Count a try that failed.

        RETURNS (float): Seconds since the first one of the streak.
        """
        now = self._timing.clock()
        if self._since is None:
            self._since = now
        return now - self._since

    def end(self, answered: bool) -> None:
        """Begin anew: the server is there.

        answered (bool): Whether that shows in an answer, or in the refusal of one
            question.
        """
        self.has_answered = self.has_answered or answered
        self._since = None
        self.given_up = 0


_AGAIN = (408, 409, 425, 429)
_LONG = (
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
_SPENT = ("insufficient_quota", "billing")
_SCHEMA = ("response_format", "json_schema", "structured", "schema", "grammar")


class RemoteError(Exception):
    """A question that a server did not answer; the message is one of `Errors`."""


class Failure(NamedTuple):
    """What became of a try that got no answer.

    reason (str): Why; the whole message where it is for good.
    again (bool): Whether the same may succeed later.
    stops (bool): Whether any other question would fail as well.
    doubtful (bool): Whether that is so only where none has succeeded.
    """

    reason: str
    again: bool = False
    stops: bool = False
    doubtful: bool = False


def judge(refusal: APIError, settings: RemoteSettings) -> Failure:
    """Say what a response that is no answer means.

    refusal (APIError): What it says, without any key.
    settings (RemoteSettings): The settings.
    RETURNS (Failure): What became of the try.
    """
    env, status = settings.api_key_env, refusal.status
    known: dict[str, Any] = {
        "url": settings.base_url,
        "model": settings.name,
        "path": settings.path,
        "status": status,
        "said": refusal.message,
        "env": env or "(none: api_key_env is null)",
    }
    words = refusal.words
    if status == 401:
        known["remedy"] = (
            f"Set the environment variable {env} to one that is valid there."
            if env
            else "Name the environment variable that holds one in 'api_key_env'."
        )
        return Failure(Errors.G710.format(**known), stops=True)
    if status == 402 or (status == 429 and any(word in words for word in _SPENT)):
        return Failure(Errors.G713.format(**known), stops=True)
    if status in _AGAIN or (status >= 500 and not is_misnamed(refusal)):
        return Failure(f"{status}: {refusal.message}", again=True)
    if status == 403:
        return Failure(Errors.G711.format(**known), stops=True, doubtful=True)
    if status in (404, 405) or status < 400:
        return Failure(Errors.G712.format(**known), stops=True, doubtful=True)
    if is_too_long(refusal):
        return Failure(Errors.G714.format(**known))
    if settings.structured is True and names_schema(refusal):
        return Failure(Errors.G716.format(**known))
    return Failure(Errors.G715.format(**known))


def too_long_a_wait(
    asked: float, failure: Failure, settings: RemoteSettings
) -> Failure:
    """Say that a server asks for a wait that nobody should sit through.

    asked (float): Seconds.
    failure (Failure): What became of the try.
    settings (RemoteSettings): The settings.
    RETURNS (Failure): The same, for good and for all questions.
    """
    message = Errors.G721.format(
        url=settings.base_url, wait=asked, reason=failure.reason
    )
    return Failure(message, stops=True)


def is_too_long(refusal: APIError) -> bool:
    """RETURNS (bool): Whether a request is refused for its length."""
    return refusal.status == 413 or (
        refusal.status in (400, 422) and any(word in refusal.words for word in _LONG)
    )


def is_misnamed(refusal: APIError) -> bool:
    """RETURNS (bool): Whether a request is refused for its kind of structured outputs
    as if the server had failed: llama.cpp's server in Python does so."""
    return refusal.status == 500 and "response_format" in refusal.words


def names_schema(refusal: APIError) -> bool:
    """RETURNS (bool): Whether a request is refused for its schema."""
    return any(word in refusal.words for word in _SCHEMA)


_FEWER_ALTERNATIVES = 5
# How structured outputs are asked for: as OpenAI has it, as llama.cpp's server in
# Python has it, or not at all.
_BY_SCHEMA, _BY_OBJECT, _NOT_ASKED = range(3)
# Without one of these an answer is another one than was asked for.
_NEEDED = ("response_format", "logprobs")


def conceded(body: dict[str, Any], sent: dict[str, Any]) -> tuple[str, ...]:
    """What an answer lacks because the server refuses it.

    body (Dict[str, Any]): What the request would say.
    sent (Dict[str, Any]): What it says.
    RETURNS (Tuple[str, ...]): The keys.
    """
    return tuple(key for key in _NEEDED if key in body and key not in sent)


class CapabilityFallback:
    """Requests as a server takes them, learned from what it refuses.

    settings (RemoteSettings): The settings.
    """

    def __init__(self, settings: RemoteSettings):
        self._settings = settings
        self._lock = threading.Lock()
        self._notes: list[str] = []
        self._schema = _BY_SCHEMA
        self._other_limit = False
        self._logprobs = 0
        self._told_of_logprobs = False

    def applied(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request as the server takes it, as far as is known.

        body (Dict[str, Any]): What it would say.
        RETURNS (Dict[str, Any]): What it says.
        """
        made = dict(body)
        if "response_format" in made and self._schema == _BY_OBJECT:
            made["response_format"] = as_json_object(made["response_format"])
        elif self._schema == _NOT_ASKED:
            made.pop("response_format", None)
        if self._other_limit and "max_tokens" in made:
            made["max_completion_tokens"] = made.pop("max_tokens")
        if self._logprobs and "logprobs" in made:
            if "top_logprobs" in made and self._logprobs == 1:
                made["top_logprobs"] = _FEWER_ALTERNATIVES
            else:
                made.pop("logprobs")
                made.pop("top_logprobs", None)
        return made

    def learn(self, sent: dict[str, Any], refusal: APIError) -> None:
        """Take from a refusal what to leave out.

        sent (Dict[str, Any]): What the refused request said.
        refusal (APIError): What the server says.
        """
        words = refusal.words
        with self._lock:
            if "max_tokens" in sent and "max_completion_tokens" in words:
                self._other_limit = True
            elif "logprobs" in sent and "logprob" in words:
                few = sent.get("top_logprobs", 0) <= _FEWER_ALTERNATIVES
                if few:
                    self._tell_of_logprobs(refusal.message)
                self._logprobs = 2 if few else max(self._logprobs, 1)
            elif "response_format" in sent and names_schema(refusal):
                self._learn_of_schemas(sent["response_format"], refusal)

    def _learn_of_schemas(self, asked: dict[str, Any], refusal: APIError) -> None:
        # Several questions may be refused at once, each as it was asked.
        if asked["type"] == "json_schema" and "json_object" in refusal.words:
            self._schema = max(self._schema, _BY_OBJECT)
        elif self._settings.structured == AUTO:
            if self._schema != _NOT_ASKED:
                known = {"url": self._settings.base_url, "said": refusal.message}
                self._notes.append(Warnings.W700.format(**known))
            self._schema = _NOT_ASKED

    def read_without_logprobs(self) -> None:
        """Take from the cache that an answer has no probabilities."""
        with self._lock:
            self._tell_of_logprobs("an answer in the cache has none")

    def _tell_of_logprobs(self, said: str) -> None:
        if not self._told_of_logprobs:
            note = Warnings.W701.format(url=self._settings.base_url, said=said)
            self._notes.append(note)
        self._told_of_logprobs = True

    def note(self, message: str) -> None:
        """Keep a warning for the caller's thread.

        message (str): The warning.
        """
        with self._lock:
            self._notes.append(message)

    def take_notes(self) -> list[str]:
        """RETURNS (List[str]): The warnings since the last call."""
        with self._lock:
            notes, self._notes = self._notes, []
        return notes
