"""Settings of a remote model, and its API key."""

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import Errors

CALLS = ("chat", "completion")
PATHS = {"chat": "chat/completions", "completion": "completions"}
AUTO = "auto"
# By convention; a key that is put here by mistake mostly has small letters.
_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_PRICES = ("input", "output")
_OWN_SETTING = "it has a setting of its own"
_TAKEN = {
    "model": "it is the setting 'name'",
    "messages": "it is the prompt",
    "prompt": "it is the prompt",
    "temperature": _OWN_SETTING,
    "max_tokens": _OWN_SETTING,
    "response_format": "it is the setting 'structured'",
    "stream": "answers are read in whole",
    "stream_options": "answers are read in whole",
    "n": "a question has one answer",
    "best_of": "a question has one answer",
}
# Names of what holds a key: in small letters, without the signs between words.
_SIGNS = re.compile(r"[\W_]+")
_KEY_NAME = re.compile(
    r"key|token|auth|bearer|.*(authorization|apikey|cookie|credentials?|passw(or)?d|"
    r"secret|(access|auth|bearer|refresh|security|session)token|"
    r"(access|private|secret|subscription)key)"
)


@dataclass(frozen=True)
class RemoteSettings:
    """Which model is asked, where, and how.

    name (str): The model, as the server calls it.
    base_url (str): The address that the paths of the API follow.
    api_key_env (Optional[str]): The environment variable that holds the key; None for
        a server that asks for none.
    call (str): "chat" or "completion".
    max_concurrent (int): How many requests are under way at a time.
    timeout (float): Seconds that one try may take in all.
    max_tries (int): How often a question is sent before it counts as failed. Where the
        server's rate limit names a wait, that is no try, for ten minutes in all.
    temperature (Optional[float]): 0 for the likeliest answer; None leaves it to the
        server.
    max_tokens (Optional[int]): Limit of an answer; None decides by the length of the
        text.
    structured (Union[str, bool]): Whether answers in JSON are held to a schema:
        "auto" does where the server can.
    cache (Optional[str]): The folder in which answers are kept.
    prices (Mapping[str, float]): Prices of a million tokens, "input" and "output";
        empty where none are known.
    extra (Mapping[str, Any]): Put into every request, such as {"seed": 0}.
    system (Optional[str]): A system message, for chat alone.
    context_length (Optional[int]): How many tokens prompt and answer may have.
    """

    name: str
    base_url: str = "https://api.openai.com/v1"
    api_key_env: str | None = "OPENAI_API_KEY"
    call: str = "chat"
    max_concurrent: int = 8
    timeout: float = 60.0
    max_tries: int = 5
    temperature: float | None = 0.0
    max_tokens: int | None = None
    structured: str | bool = AUTO
    cache: str | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    context_length: int | None = None

    def __post_init__(self) -> None:
        checks: dict[str, Callable[[Any], Any]] = {
            "name": _text,
            "base_url": _url,
            "api_key_env": _optional(_env_name),
            "call": _one_of(*CALLS),
            "max_concurrent": _count,
            "timeout": _positive,
            "max_tries": _count,
            "temperature": _optional(_not_negative),
            "max_tokens": _optional(_count),
            "structured": _one_of(AUTO, True, False),
            "cache": _optional(_folder),
            "prices": _prices,
            "extra": _extra,
            "system": _optional(_text),
            "context_length": _optional(_count),
        }
        for key, check in checks.items():
            value = getattr(self, key)
            try:
                object.__setattr__(self, key, check(value))
            except _Unlike as unlike:
                # 'extra' may hold a key.
                shown = type(value).__name__ if key == "extra" else repr(value)
                raise ValueError(
                    Errors.G701.format(key=key, value=shown, expected=unlike)
                ) from None
        if self.system is not None and self.call != "chat":
            expected = 'null, for a completion has no system message, or call = "chat"'
            raise ValueError(
                Errors.G701.format(
                    key="system", value=repr(self.system), expected=expected
                )
            )

    @property
    def path(self) -> str:
        """The path of the call, after `base_url`."""
        return PATHS[self.call]


def refuse_key(api_key: Any) -> None:
    """Refuse a key that stands in a config, without showing it. Where the factories
    did not know the name, the config system would show it with the rest of its block.

    api_key (Any): What stands there; None for nothing.
    RAISES (ValueError): Something does.
    """
    if api_key is not None:
        raise ValueError(Errors.G700)


class _Unlike(Exception):
    """A value is not what is expected, which the error says."""


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        try:
            return None if value is None else check(value)
        except _Unlike as unlike:
            raise _Unlike(f"{unlike}, or null") from None

    return checked


def _one_of(*allowed: Any) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        # 1 equals true, and is none of the words.
        for choice in allowed:
            if type(value) is type(choice) and value == choice:
                return value
        raise _Unlike("one of " + ", ".join(json.dumps(choice) for choice in allowed))

    return checked


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Unlike("a text that is not empty")
    return value


def _folder(value: Any) -> str:
    return _text(str(value) if isinstance(value, Path) else value)


def _number(value: Any) -> float:
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _count(value: Any) -> int:
    number = _number(value)
    if not 1 <= number < math.inf or number != int(number):
        raise _Unlike("a whole number of at least 1")
    return int(number)


def _positive(value: Any) -> float:
    if not 0 < _number(value) < math.inf:
        raise _Unlike("a number above 0")
    return _number(value)


def _not_negative(value: Any) -> float:
    if not 0 <= _number(value) < math.inf:
        raise _Unlike("a number of at least 0")
    return _number(value)


def _env_name(value: Any) -> str:
    if not isinstance(value, str) or not _ENV_NAME.fullmatch(value):
        raise ValueError(Errors.G702)
    return value


def _url(value: Any) -> str:
    address = _text(value).strip().rstrip("/")
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and parts.hostname
        # A port that is none is noticed only where it is read.
        _ = parts.port
    except ValueError as error:
        raise ValueError(Errors.G703.format(reason=error)) from None
    reason = ""
    if parts.username is not None or parts.query or parts.fragment:
        # Not shown: each may hold a key.
        reason = "it has a user, a query or a fragment, which is no place for a key"
    elif not known or re.search(r"\s", address):
        reason = f"{value!r} is no address with http:// or https://"
    elif address.endswith(tuple("/" + path for path in PATHS.values())):
        reason = f"{value!r} ends in the path of a call, which is added to it"
    if reason:
        raise ValueError(Errors.G703.format(reason=reason))
    return address


def _prices(value: Any) -> dict[str, float]:
    expected = 'null, or {"input": PRICE, "output": PRICE} of a million tokens'
    if value is None:
        return {}
    if not isinstance(value, Mapping) or (value and set(value) != set(_PRICES)):
        raise _Unlike(expected)
    try:
        return {key: _not_negative(price) for key, price in value.items()}
    except _Unlike:
        raise _Unlike(expected) from None


def _extra(value: Any) -> dict[str, Any]:
    try:
        extra = {} if value is None else json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        extra = None
    if not isinstance(extra, dict):
        raise _Unlike("null, or a dict of what JSON can hold")
    for key in extra:
        if key.lower() in _TAKEN:
            raise ValueError(Errors.G704.format(found=key, reason=_TAKEN[key.lower()]))
    name = _key_inside(extra)
    if name is not None:
        reason = "keys come from the environment alone"
        raise ValueError(Errors.G704.format(found=name, reason=reason))
    return extra


def _key_inside(value: Any) -> str | None:
    """The first name in nested JSON whose value looks like a key of a server."""
    if isinstance(value, list):
        found = (_key_inside(item) for item in value)
    elif isinstance(value, dict):
        found = (
            # A schema may have a property of any name.
            _key_inside(item)
            if isinstance(item, dict)
            else (name if _KEY_NAME.fullmatch(_plain(name)) else _key_inside(item))
            for name, item in value.items()
        )
    else:
        return None
    return next((name for name in found if name is not None), None)


def _plain(name: str) -> str:
    return _SIGNS.sub("", name).lower()


HIDDEN = "(hidden)"
# A message may show part of a key. Shorter parts than this say nothing of it.
_PART = 8
_SENDABLE = re.compile(r"[!-~]+")


class Secret:
    """A key that shows itself only where it is asked for by name.

    value (str): The key; empty for a server that asks for none.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str):
        self._value = value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        # A copy that leaves the process has no key.
        return Secret, ("",)

    @property
    def header(self) -> str:
        """What the header says, empty where there is no key."""
        return f"Bearer {self._value}" if self._value else ""

    def scrubbed(self, text: str) -> str:
        """Hide the key, and any long part of it.

        text (str): What someone else wrote.
        RETURNS (str): The same without the key.
        """
        key = self._value
        if not key:
            return text
        if len(key) <= _PART:
            # A short one may be part of any word: "x" for a server that wants some key.
            return re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", HIDDEN, text)
        parts = {key[i : i + _PART] for i in range(len(key) - _PART + 1)}
        shown: list[str] = []
        end = 0
        for at in range(len(text) - _PART + 1):
            if text[at : at + _PART] not in parts:
                continue
            if at > end or not shown:
                shown += [text[end:at], HIDDEN]
            end = at + _PART
        return "".join(shown) + text[end:]


def read_secret(settings: RemoteSettings) -> Secret:
    """Read the key from the environment.

    settings (RemoteSettings): The settings, which name its variable.
    RETURNS (Secret): The key.
    RAISES (ValueError): The variable is not set, or holds no key.
    """
    env = settings.api_key_env
    if env is None:
        return Secret("")
    value = os.environ.get(env, "").strip()
    if not value:
        raise ValueError(Errors.G705.format(env=env, url=settings.base_url))
    if not _SENDABLE.fullmatch(value):
        raise ValueError(Errors.G706.format(env=env))
    return Secret(value)
