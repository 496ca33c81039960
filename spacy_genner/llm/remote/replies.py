"""What a server's response says, read without trust."""

import json
from typing import Any, NamedTuple

_SHOWN = 200


class Reply(NamedTuple):
    """An answer as the server gave it.

    text (str): What the model wrote.
    truncated (bool): Whether it was cut at the limit of tokens.
    logprobs (Any): Log-probabilities of tokens, as JSON; None without.
    prompt_tokens (Optional[int]): Tokens of the prompt; None where it is not told.
    completion_tokens (Optional[int]): Tokens of the answer.
    conceded (Tuple[str, ...]): What the request did not say, because the server
        refuses it.
    """

    text: str
    truncated: bool = False
    logprobs: Any = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    conceded: tuple[str, ...] = ()


class Refusal(NamedTuple):
    """What a server says where it gives no answer.

    message (str): Its message, on one line.
    code (str): Its code and the parameter it names, as far as it does.
    status (int): The HTTP status, which may stand inside of the response alone.
    """

    message: str
    code: str = ""
    status: int = 500

    @property
    def words(self) -> str:
        """All that is said, in small letters."""
        return f"{self.code} {self.message}".lower()


class UnreadableError(Exception):
    """A response that is no answer: cut off, or of another protocol."""


class NoTextError(Exception):
    """A response whose answer has no text.

    finish (str): Why the model stopped.
    said (str): What it said in place of an answer.
    tokens (Tuple[Optional[int], Optional[int]]): Those of the prompt and of what it
        wrote or thought; None where it is not told.
    """

    def __init__(self, finish: str, said: str, tokens: tuple[int | None, int | None]):
        super().__init__(finish, said)
        self.finish = finish
        self.said = said
        self.tokens = tokens


def read_json(content: bytes) -> Any:
    """Read JSON from a stranger.

    content (bytes): The content.
    RETURNS (Any): The value.
    RAISES (ValueError): It is none.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_reply(content: bytes, kind: str) -> Reply:
    """Read the response to a request.

    content (bytes): Its body.
    kind (str): Its content type, for the message.
    RETURNS (Reply): The first choice.
    RAISES (UnreadableError, NoTextError): There is none, or it has no text.
    """
    try:
        value = read_json(content)
    except ValueError:
        begins = shown(content.decode("utf8", "replace"))
        raise UnreadableError(
            f"the response is no JSON ({kind or 'no content type'}): {begins!r}"
        ) from None
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise UnreadableError(f"the response has no choices: {shown(str(value))!r}")
    choice = choices[0]
    finish = choice.get("finish_reason")
    message = choice.get("message", choice)
    text = _text(message)
    usage = value.get("usage")
    tokens = _tokens(usage, "prompt_tokens"), _tokens(usage, "completion_tokens")
    if text is None or finish == "content_filter":
        refusal = message.get("refusal") if isinstance(message, dict) else None
        said = shown(str(refusal or "content is null"))
        raise NoTextError(str(finish), said, tokens)
    return Reply(
        # Half of a surrogate pair can't be written to any file.
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
        finish == "length",
        choice.get("logprobs"),
        *tokens,
    )


def read_refusal(content: bytes) -> Refusal:
    """Read the response to a request that failed.

    content (bytes): Its body.
    RETURNS (Refusal): What it says.
    """
    try:
        value = read_json(content)
    except ValueError:
        return Refusal(shown(content.decode("utf8", "replace")) or "no message")
    if not isinstance(value, dict):
        return Refusal(shown(str(value)))
    error = value.get("error") or value
    if not isinstance(error, dict):
        return Refusal(shown(str(error)))
    message = error.get("message") or error.get("detail") or error
    code, param = error.get("code"), error.get("param")
    codes = " ".join(str(part) for part in (code, error.get("type"), param) if part)
    status = code if type(code) is int and 400 <= code < 600 else 500
    return Refusal(shown(str(message)), shown(codes), status)


def hidden_refusal(content: bytes) -> Refusal | None:
    """The error in a response whose status says that there is none.

    content (bytes): Its body.
    RETURNS (Optional[Refusal]): The error, if there is one.
    """
    try:
        value = read_json(content)
    except ValueError:
        return None
    if isinstance(value, dict) and value.get("error") and not value.get("choices"):
        return read_refusal(content)
    return None


def shown(text: str) -> str:
    """RETURNS (str): The beginning of a stranger's text, on one line."""
    line = " ".join(text[: 10 * _SHOWN].split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


def _text(message: Any) -> str | None:
    if not isinstance(message, dict):
        raise UnreadableError(f"the message of the response is {shown(str(message))!r}")
    content = message.get("content") if "content" in message else message.get("text")
    if isinstance(content, list):
        # Some servers part what the model thought from what it says.
        content = "".join(
            part["text"]
            for part in content
            if isinstance(part, dict)
            and part.get("type") == "text"
            and isinstance(part.get("text"), str)
        )
    if content is None or isinstance(content, str):
        return content
    raise UnreadableError(f"the content of the response is {shown(str(content))!r}")


def _tokens(usage: Any, key: str) -> int | None:
    count = usage.get(key) if isinstance(usage, dict) else None
    return count if type(count) is int and count >= 0 else None
