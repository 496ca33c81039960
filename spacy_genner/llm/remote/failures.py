"""Why a question got no answer, and whether to ask again."""

from typing import Any, NamedTuple

from ...errors import Errors
from .replies import Refusal
from .settings import RemoteSettings

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


def judge(refusal: Refusal, settings: RemoteSettings) -> Failure:
    """Say what a response that is no answer means.

    refusal (Refusal): What it says, without any key.
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


def is_too_long(refusal: Refusal) -> bool:
    """RETURNS (bool): Whether a request is refused for its length."""
    return refusal.status == 413 or (
        refusal.status in (400, 422) and any(word in refusal.words for word in _LONG)
    )


def is_misnamed(refusal: Refusal) -> bool:
    """RETURNS (bool): Whether a request is refused for its kind of structured outputs
    as if the server had failed: llama.cpp's server in Python does so."""
    return refusal.status == 500 and "response_format" in refusal.words


def names_schema(refusal: Refusal) -> bool:
    """RETURNS (bool): Whether a request is refused for its schema."""
    return any(word in refusal.words for word in _SCHEMA)
