"""Settings of a remote model, and its API key."""

import ipaddress
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from ...config.base import ErrorCode, Settings
from ...errors import Errors

AUTO = "auto"
HIDDEN = "(hidden)"
PATHS = {"chat": "chat/completions", "completion": "completions"}

# Environment variables are written in capitals by convention. An API key that is put
# in place of the name mostly has lower-case letters.
_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
# The ends of names that are given to keys, perhaps with a number: OPENAI_API_KEY,
# HF_TOKEN_2.
_KEY_ENV_NAME = re.compile(
    r".*(KEYS?|TOKENS?|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|BEARER|"
    r"(^|_)(AUTH|PAT|PASS|PWD))(_?\d+)?"
)
# The variable of the environment that lists further variables with keys.
KEY_NAMES_VARIABLE = "SPACY_GENNER_KEY_VARIABLES"
_HEADER_VALUE = re.compile(r"[!-~]+")
# Names of values that may be keys: in lower case, without punctuation.
_PUNCTUATION = re.compile(r"[\W_]+")
_KEY_NAME = re.compile(
    r"key|token|auth|bearer|.*(authorization|apikey|cookie|credentials?|passw(or)?d|"
    r"secret|(access|auth|bearer|refresh|security|session)token|"
    r"(access|private|secret|subscription)key)"
)
# The parts of a key that a message may show. Shorter ones reveal nothing.
_SHOWN_LENGTH = 8

_OWN_SETTING = "it has a setting of its own"
_RESERVED = {
    "model": "it is the setting 'name'",
    "messages": "it is the prompt",
    "prompt": "it is the prompt",
    "temperature": _OWN_SETTING,
    "max_tokens": _OWN_SETTING,
    "response_format": "it is the setting 'structured'",
    "stream": "answers are not streamed",
    "stream_options": "answers are not streamed",
    "n": "a prompt has one answer",
    "best_of": "a prompt has one answer",
}


def _to_number(value: Any) -> float:
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, OverflowError) as error:
        raise ValueError from error


def _to_string(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _none_to_dict(value: Any) -> Any:
    return {} if value is None else value


def _check_prices(prices: dict[str, float]) -> dict[str, float]:
    if prices and set(prices) != {"input", "output"}:
        raise ValueError
    return prices


def _check_env_name(value: Any) -> str | None:
    if value is not None and not (
        isinstance(value, str) and _ENV_NAME.fullmatch(value)
    ):
        raise ValueError(Errors.G702)
    return value


def _check_url(value: str) -> str:
    address = value.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        is_http = parts.scheme in ("http", "https") and parts.hostname
        # A port is only parsed when it is read.
        _ = parts.port
    except ValueError as error:
        raise ValueError(Errors.G703.format(reason=error)) from None
    reason = ""
    if parts.username is not None or parts.query or parts.fragment:
        # The address is not shown: each of these may hold a key.
        reason = "it has a user, a query or a fragment, any of which may hold a key"
    elif not is_http or re.search(r"\s", address):
        reason = f"{value!r} is not an address with http:// or https://"
    elif address.endswith(tuple("/" + path for path in PATHS.values())):
        reason = f"{value!r} ends with the path of a call, which is added to it"
    if reason:
        raise ValueError(Errors.G703.format(reason=reason))
    return address


def _copy_json(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, RecursionError) as error:
        raise ValueError from error


def _check_extra(extra: dict[str, Any]) -> dict[str, Any]:
    for key in extra:
        if key.lower() in _RESERVED:
            reason = _RESERVED[key.lower()]
            raise ValueError(Errors.G704.format(found=key, reason=reason))
    name = _find_key(extra)
    if name is not None:
        reason = "API keys are only read from the environment"
        raise ValueError(Errors.G704.format(found=name, reason=reason))
    return extra


def _find_key(value: Any) -> str | None:
    """The first name in nested JSON whose value may be an API key."""
    found: Iterable[str | None]
    if isinstance(value, list):
        found = map(_find_key, value)
    elif isinstance(value, dict):
        # A JSON schema may have properties of any name, so an object is not a key.
        found = (
            name
            if not isinstance(item, dict)
            and _KEY_NAME.fullmatch(_PUNCTUATION.sub("", name).lower())
            else _find_key(item)
            for name, item in value.items()
        )
    else:
        return None
    return next((name for name in found if name is not None), None)


_Text = Annotated[str, Field(strict=True, pattern=r"\S")]
_Count = Annotated[int, Field(ge=1), BeforeValidator(_to_number)]
_Number = Annotated[
    float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_to_number)
]
_TEXT = "a string that is not empty"
_COUNT = "a whole number of at least 1"

Text = Annotated[_Text, ErrorCode("G701", _TEXT)]
OptionalText = Annotated[_Text | None, ErrorCode("G701", f"{_TEXT}, or null")]
Folder = Annotated[
    _Text | None, BeforeValidator(_to_string), ErrorCode("G701", f"{_TEXT}, or null")
]
Count = Annotated[_Count, ErrorCode("G701", _COUNT)]
OptionalCount = Annotated[_Count | None, ErrorCode("G701", f"{_COUNT}, or null")]
Timeout = Annotated[_Number, Field(gt=0), ErrorCode("G701", "a number above 0")]
Temperature = Annotated[
    _Number | None, ErrorCode("G701", "a number of at least 0, or null")
]
Call = Annotated[
    Literal["chat", "completion"], ErrorCode("G701", 'one of "chat", "completion"')
]
Server = Annotated[
    Literal["auto", "vllm", "llama.cpp"],
    ErrorCode("G701", 'one of "auto", "vllm", "llama.cpp"'),
]
Structured = Annotated[
    # Not Literal[True]: 1 equals it.
    StrictBool | Literal["auto"],
    ErrorCode("G701", 'one of "auto", true, false'),
]
Flag = Annotated[StrictBool, ErrorCode("G701", "true or false")]
EnvName = Annotated[str | None, BeforeValidator(_check_env_name)]
Url = Annotated[Text, AfterValidator(_check_url)]
Prices = Annotated[
    dict[str, _Number],
    AfterValidator(_check_prices),
    BeforeValidator(_none_to_dict),
    ErrorCode("G701", 'null, or {"input": PRICE, "output": PRICE} of a million tokens'),
]
Extra = Annotated[
    dict[str, Any],
    BeforeValidator(_copy_json),
    BeforeValidator(_none_to_dict),
    ErrorCode("G701", "null, or a dict of JSON values"),
    AfterValidator(_check_extra),
]


class RemoteSettings(Settings):
    """Settings of a model behind a server that speaks the OpenAI protocol.

    A number may be given as a string, as in the variables of a config.

    RAISES (ValueError): A setting can't be used. The message shows no API key.
    """

    name: Text = Field(description="The model's name on the server.")
    base_url: Url = Field(
        "https://api.openai.com/v1",
        description="The address that the paths of the API are appended to.",
    )
    api_key_env: EnvName = Field(
        "OPENAI_API_KEY",
        description="The environment variable that holds the API key. None for a "
        "server that needs no key.",
    )
    call: Call = Field("chat", description='"chat" or "completion".')
    max_concurrent: Count = Field(
        8, description="The maximum number of requests in flight."
    )
    timeout: Timeout = Field(
        60.0, description="The time limit of one attempt in seconds, in total."
    )
    max_tries: Count = Field(
        5,
        description="The number of failed attempts after which a prompt fails. If a "
        "rate limit names a waiting time, the attempt is not counted, for up to ten "
        "minutes of waiting.",
    )
    temperature: Temperature = Field(
        0.0,
        description="The sampling temperature: 0 for the most likely answer, None for "
        "the server's default.",
    )
    max_tokens: OptionalCount = Field(
        None,
        description="The maximum number of tokens in an answer. None derives it from "
        "the length of the text.",
    )
    structured: Structured = Field(
        "auto",
        description="Whether answers in JSON are constrained to a schema. "
        '"auto" does so if the server supports it.',
    )
    cache: Folder = Field(None, description="The folder of the response cache.")
    prices: Prices = Field(
        {},
        description='The prices of a million tokens, "input" and "output". Empty if '
        "unknown.",
    )
    extra: Extra = Field(
        {}, description='Values added to every request, such as {"seed": 0}.'
    )
    system: OptionalText = Field(None, description="The system message. Only for chat.")
    context_length: OptionalCount = Field(
        None, description="The maximum number of tokens of prompt and answer."
    )
    adapter: Folder = Field(
        None,
        description="The folder of the tuned adapter that the server runs: the result "
        "of `genner export`, or a saved component. Prompts are then sent as the token "
        "ids that the adapter was tuned on.",
    )
    server: Server = Field(
        "auto",
        description='The kind of the server, "vllm" or "llama.cpp", which name a '
        'grammar differently. "auto" takes it from the export. Only with `adapter`.',
    )
    scores: Flag = Field(
        True,
        description="Whether to ask for the probabilities of tokens, which the scores "
        "of spans are computed from. Only with `adapter`.",
    )
    allow_http: Flag = Field(
        False,
        description="Whether the API key may be sent unencrypted, to an address with "
        "http:// on another machine.",
    )

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> "RemoteSettings":
        """Read the settings from the arguments of a registered function.

        arguments (Mapping[str, Any]): The arguments. Those that are no settings are
            ignored, except for `api_key`. The registered functions declare it, since
            the config system would show the value of an undeclared one in its error.
        RETURNS (RemoteSettings): The settings.
        RAISES (ValueError): A setting can't be used, or `api_key` is set.
        """
        if arguments.get("api_key") is not None:
            raise ValueError(Errors.G700)
        known = {key: arguments[key] for key in cls.model_fields if key in arguments}
        return cls(**known)

    @property
    def path(self) -> str:
        """The path of the call, relative to `base_url`."""
        return PATHS[self.call]

    @classmethod
    def explain(cls, values: dict[str, Any], problems: Sequence[Any]) -> str:
        """Write the message for settings that can't be used. Only the value of the
        setting at fault is shown, and never that of `extra` or an unknown setting,
        which may hold a key.

        values (dict[str, Any]): The values of all settings.
        problems (Sequence[ErrorDetails]): The errors that pydantic found.
        RETURNS (str): A message with its code.
        """
        context = problems[0].get("ctx", {})
        if "error" in context:
            return str(context["error"])
        key = str(problems[0]["loc"][0])
        expected = context.get("expected", _TEXT)
        value = values.get(key)
        shown = type(value).__name__ if key == "extra" else repr(value)
        if key not in cls.model_fields:
            shown, expected = "unknown", f"one of {', '.join(cls.model_fields)}"
        return Errors.G701.format(key=key, value=shown, expected=expected)

    @model_validator(mode="before")
    @classmethod
    def _use_completions(cls, values: Any) -> Any:
        # Only a raw completion has the tokens that the adapter was tuned on.
        if isinstance(values, dict) and values.get("adapter") is not None:
            return {**values, "call": "completion"}
        return values

    @model_validator(mode="after")
    def _check_system(self) -> "RemoteSettings":
        if self.system is not None and self.call != "chat":
            expected = 'null, as completions have no system message, or call = "chat"'
            values = {"key": "system", "value": repr(self.system)}
            raise ValueError(Errors.G701.format(**values, expected=expected))
        return self


class Secret:
    """An API key that is not shown by `repr` and not copied by `pickle`.

    value (str): The key. Empty for a server that needs none.
    """

    __slots__ = ("value",)

    def __init__(self, value: str):
        self.value = value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        return Secret, ("",)

    def redact(self, text: str) -> str:
        """Hide the key and long parts of it in a text from the server or a library."""
        key = self.value
        if not key:
            return text
        if len(key) <= _SHOWN_LENGTH:
            # A short key, such as "x" for a server that accepts any, may be part of a
            # word.
            return re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", HIDDEN, text)
        parts = {
            key[i : i + _SHOWN_LENGTH] for i in range(len(key) - _SHOWN_LENGTH + 1)
        }
        shown: list[str] = []
        end = 0
        for start in range(len(text) - _SHOWN_LENGTH + 1):
            if text[start : start + _SHOWN_LENGTH] not in parts:
                continue
            if start > end or not shown:
                shown += [text[end:start], HIDDEN]
            end = start + _SHOWN_LENGTH
        return "".join(shown) + text[end:]


def read_secret(settings: RemoteSettings) -> Secret:
    """Read the API key from the environment.

    A pipeline from another person may name any variable and any address. The variable
    must therefore have a name that is given to keys, or be listed in the environment
    variable SPACY_GENNER_KEY_VARIABLES, separated by commas. An address of another
    machine must use https unless `allow_http` is set.

    settings (RemoteSettings): The settings, which name the variable.
    RETURNS (Secret): The key.
    RAISES (ValueError): The variable is not set, is not that of a key, or its value is
        not a valid key, or the key would be sent unencrypted.
    """
    env = settings.api_key_env
    if env is None:
        return Secret("")
    confirmed = os.environ.get(KEY_NAMES_VARIABLE, "").replace(",", " ").split()
    if not _KEY_ENV_NAME.fullmatch(env) and env not in confirmed:
        raise ValueError(
            Errors.G708.format(
                env=env, url=settings.base_url, variable=KEY_NAMES_VARIABLE
            )
        )
    value = os.environ.get(env, "").strip()
    if not value:
        raise ValueError(Errors.G705.format(env=env, url=settings.base_url))
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError(Errors.G706.format(env=env))
    if not (settings.allow_http or _is_encrypted_or_local(settings.base_url)):
        raise ValueError(Errors.G709.format(env=env, url=settings.base_url))
    return Secret(value)


def _is_encrypted_or_local(url: str) -> bool:
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # IPv4 addresses may be written as IPv6.
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
