"""Settings of the server: its address, its token and its limits."""

import ipaddress
import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictStr

from ..config.base import ErrorCode, Settings
from ..errors import Errors, Warnings, warn

# Every option of `genner serve` can be set by a variable with this prefix.
VARIABLE_PREFIX = "SPACY_GENNER_SERVE_"
TOKEN_VARIABLE = f"{VARIABLE_PREFIX}TOKEN"
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


def _to_number(value: Any) -> Any:
    # A bool is an int in Python.
    if isinstance(value, bool):
        raise ValueError(value)
    return value


def _check_origin(value: str) -> str:
    scheme, separator, host = value.partition("://")
    is_origin = scheme in ("http", "https") and separator and host
    if value != "*" and (not is_origin or "/" in host):
        raise ValueError(value)
    return value


Host = Annotated[
    StrictStr, Field(pattern=r"^\S+$"), ErrorCode("G801", "a host name or an address")
]
Port = Annotated[
    int,
    Field(ge=0, le=65_535),
    BeforeValidator(_to_number),
    ErrorCode("G801", "a whole number from 0 to 65535"),
]
PositiveInt = Annotated[
    int,
    Field(ge=1),
    BeforeValidator(_to_number),
    ErrorCode("G801", "a whole number of at least 1"),
]
Milliseconds = Annotated[
    float,
    Field(ge=0, le=10_000, allow_inf_nan=False),
    BeforeValidator(_to_number),
    ErrorCode("G801", "a number of milliseconds from 0 to 10000"),
]
Seconds = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    BeforeValidator(_to_number),
    ErrorCode("G801", "a number of seconds above 0"),
]
Origins = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_check_origin)], ...],
    ErrorCode("G801", 'origins such as "https://example.org", or "*"'),
]
LogLevel = Annotated[
    Literal["critical", "error", "warning", "info", "debug"], ErrorCode("G801")
]
Flag = Annotated[StrictBool, ErrorCode("G801", "true or false")]


class ServeSettings(Settings):
    """The settings of a server.

    RAISES (ValueError): A setting is unknown, or its value can't be used.

    host (str): The address to listen on.
    port (int): The port to listen on; 0 for any free port.
    batch_size (int): The maximum number of texts that a model processes together.
    max_wait_ms (float): How long the first text of a batch waits for further texts.
    queue_size (int): The maximum number of texts that wait for one model.
    max_texts (int): The maximum number of texts in a request.
    max_chars (int): The maximum length of a text.
    max_body (int): The maximum size of the body of a request in bytes.
    max_requests (int): The maximum number of requests for annotation at the same time.
    timeout (float): The time limit of a request in seconds.
    grace (float): How long a server that stops finishes accepted requests, in seconds.
    cors_origins (tuple[str, ...]): The origins whose pages may use the server.
    docs (bool): Whether to serve the page /docs and the schema /openapi.json.
    access_log (bool): Whether to log each request.
    log_level (str): The least severe messages to log.
    """

    unknown_code: ClassVar[str] = "G802"

    host: Host = "127.0.0.1"
    port: Port = 8000
    batch_size: PositiveInt = 32
    max_wait_ms: Milliseconds = 5.0
    queue_size: PositiveInt = 1024
    max_texts: PositiveInt = 256
    max_chars: PositiveInt = 100_000
    max_body: PositiveInt = 1_048_576
    max_requests: PositiveInt = 512
    timeout: Seconds = 60.0
    grace: Seconds = 30.0
    cors_origins: Origins = ()
    docs: Flag = True
    access_log: Flag = True
    log_level: LogLevel = "info"

    def model_post_init(self, _: Any) -> None:
        if self.max_texts > self.queue_size:
            # Otherwise the server would refuse such a request for ever.
            expected = f"at most 'queue_size', which is {self.queue_size}"
            raise ValueError(
                Errors.G801.format(
                    key="max_texts", found=self.max_texts, expected=expected
                )
            )

    @property
    def is_public(self) -> bool:
        """RETURNS (bool): Whether other machines may reach the address."""
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return True


def read_token(environment: Mapping[str, str] = os.environ) -> str | None:
    """Read the token that clients have to send.

    environment (Mapping[str, str]): The environment variables.
    RETURNS (str | None): The token. None if the variable is not set.
    RAISES (ValueError): The token is blank, or has characters that a header can't
        carry. The message does not show it.
    """
    token = environment.get(TOKEN_VARIABLE)
    if token is None:
        return None
    reason = ""
    if not token.strip():
        reason = "it is blank"
    elif not all("!" <= character <= "~" for character in token):
        reason = "it has white space or characters other than ASCII"
    if reason:
        raise ValueError(Errors.G803.format(variable=TOKEN_VARIABLE, reason=reason))
    return token


def check_access(
    settings: ServeSettings, token: str | None, without_token: bool
) -> None:
    """Refuse an address that other machines can reach without a token.

    settings (ServeSettings): The settings.
    token (str | None): The token.
    without_token (bool): Whether the user allows it. There is a warning instead.
    RAISES (ValueError): Other machines could use the server without a token.
    """
    if token is not None or not settings.is_public:
        return
    if not without_token:
        raise ValueError(
            Errors.G804.format(host=settings.host, variable=TOKEN_VARIABLE)
        )
    warn(Warnings.W800.format(host=settings.host, variable=TOKEN_VARIABLE))
