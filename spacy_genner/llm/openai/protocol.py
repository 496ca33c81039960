"""Requests, responses, schemas and log-probabilities of the OpenAI protocol."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from ...errors import Errors
from ...formats import CharSpan, get_format
from ..alignment import thought_before
from ..messages import Prompt
from .settings import RemoteSettings

# What a model may say around its answer.
_AROUND = 256
# Two offsets of an entry, beside the digits that the sample has.
_NUMBERS = 2


def most_tokens(question: Prompt) -> int:
    """A limit that no right answer reaches, so that one that does not end does.

    It is the bytes of an answer with a mark, or an entry, for each word: no token is
    shorter than a byte, and where spans are nested as well, words make up for it.

    question (Prompt): The question.
    RETURNS (int): Tokens.
    """
    layout, words = question.layout, question.subject.words
    label = max(layout.labels, key=_size, default="x")
    spans = [CharSpan(0, 1, label), CharSpan(2, 3, label)]
    render = get_format(layout.format).render
    one, two = (_size(render("x x", some, [label])) for some in (spans[:1], spans))
    entry = two - one + _NUMBERS * len(str(len(question.subject.text)))
    text = sum(_size(word) + 1 for word in words)
    labels = sum(_size(name) + len('"": [], ') for name in layout.labels)
    return text + entry * len(words) + labels + _AROUND


def _size(text: str) -> int:
    return len(text.encode("utf8", "replace"))


WRAPPER = "entities"
_PLACES = {"occurrence_json": ("occurrence_index",), "offset_json": ("start", "end")}


def answer_schema(format_name: str, labels: Sequence[str]) -> dict[str, Any] | None:
    """The schema of an answer.

    format_name (str): The output format.
    labels (Sequence[str]): The labels.
    RETURNS (Optional[Dict[str, Any]]): The schema; None for a format that is not JSON,
        and where there are no labels.
    """
    if not labels:
        return None
    if format_name == "grouped_json":
        texts = {"type": "array", "items": {"type": "string"}}
        return _object({label: texts for label in labels})
    if format_name not in _PLACES:
        return None
    entry = {
        "text": {"type": "string"},
        "label": {"type": "string", "enum": list(labels)},
        **{key: {"type": "integer"} for key in _PLACES[format_name]},
    }
    return _object({WRAPPER: {"type": "array", "items": _object(entry)}})


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """How a request asks for answers of a schema.

    schema (Dict[str, Any]): The schema.
    RETURNS (Dict[str, Any]): The value of `response_format`.
    """
    named = {"name": WRAPPER, "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": named}


def as_json_object(asked: dict[str, Any]) -> dict[str, Any]:
    """How servers of llama.cpp's kind are asked for the same.

    asked (Dict[str, Any]): What `response_format` gave.
    RETURNS (Dict[str, Any]): The value of `response_format` there.
    """
    return {"type": "json_object", "schema": asked["json_schema"]["schema"]}


def unwrapped(written: str, schema: dict[str, Any]) -> str:
    """Write an answer that fits its schema as the format has it: without the wrapper,
    keys in their order, spaced as `json.dumps` does.

    written (str): The answer.
    schema (Dict[str, Any]): The schema that was asked for.
    RETURNS (str): The answer in its format; as it was where it does not fit, which is
        for the format's parser to report.
    """
    try:
        value = _arranged(json.loads(written, object_pairs_hook=_pairs), schema)
        if list(schema["properties"]) == [WRAPPER] and _is_list(schema, WRAPPER):
            value = value[WRAPPER]
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return written


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _is_list(schema: dict[str, Any], key: str) -> bool:
    # A label may be named as the wrapper is; its list holds strings.
    return bool(schema["properties"][key]["items"]["type"] == "object")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice")
    return made


def _arranged(value: Any, schema: dict[str, Any]) -> Any:
    kind = schema["type"]
    if kind == "object":
        keys = list(schema["properties"])
        if not isinstance(value, dict) or set(value) != set(keys):
            raise ValueError("other keys")
        return {key: _arranged(value[key], schema["properties"][key]) for key in keys}
    if kind == "array":
        if not isinstance(value, list):
            raise ValueError("no list")
        return [_arranged(item, schema["items"]) for item in value]
    expected = str if kind == "string" else int
    if type(value) is not expected:
        raise ValueError(f"no {kind}")
    return value


# A chat model may begin with a line break or a mark of its own.
YES_NO_TOKENS = 4
MOST_ALTERNATIVES = {"chat": 20, "completion": 5}


class Request(NamedTuple):
    """A question as it is sent.

    body (Dict[str, Any]): What the request says, before a server has refused any.
    schema (Optional[Dict[str, Any]]): The schema of the answer, where there is one.
    guessed (bool): Whether the limit of tokens is a guess that can be changed.
    """

    body: dict[str, Any]
    schema: dict[str, Any] | None = None
    guessed: bool = False


def ask(settings: RemoteSettings, question: str) -> Request:
    """Ask for an answer in text.

    settings (RemoteSettings): The settings.
    question (str): The prompt; that of a `Prompt` knows its text and format.
    RETURNS (Request): The request.
    """
    body = _prompt(settings, question)
    schema = None
    limit = settings.max_tokens or _limit(settings, question)
    if limit is not None and "max_completion_tokens" not in settings.extra:
        body["max_tokens"] = limit
    if isinstance(question, Prompt):
        layout = question.layout
        if settings.structured is not False:
            schema = answer_schema(layout.format, layout.labels)
        if schema is not None:
            body["response_format"] = response_format(schema)
        stop = _next_cue(question) if settings.call == "completion" else None
        if stop is not None:
            body["stop"] = [stop]
    guessed = settings.max_tokens is None
    return Request({**body, **settings.extra}, schema, guessed)


def ask_yes_no(settings: RemoteSettings, question: str) -> Request:
    """Ask for one of two words, and its probability.

    A few tokens are enough, unless the settings allow an answer more.

    settings (RemoteSettings): The settings.
    question (str): The prompt.
    RETURNS (Request): The request.
    """
    body = {**_prompt(settings, question), **settings.extra}
    own = body.get("max_completion_tokens")
    key = "max_tokens" if own is None else "max_completion_tokens"
    # Who sets a limit may ask a model that thinks before it answers.
    body[key] = max(YES_NO_TOKENS, own or settings.max_tokens or 0)
    alternatives = MOST_ALTERNATIVES[settings.call]
    if settings.call == "chat":
        body.update(logprobs=True, top_logprobs=alternatives)
    else:
        body["logprobs"] = alternatives
    return Request(body)


def _prompt(settings: RemoteSettings, question: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": settings.name}
    # A plain string, whatever its class.
    prompt = str.__str__(question)
    if settings.call == "chat":
        messages = [{"role": "user", "content": prompt}]
        if settings.system is not None:
            messages.insert(0, {"role": "system", "content": settings.system})
        body["messages"] = messages
    else:
        body["prompt"] = prompt
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    return body


def _next_cue(question: Prompt) -> str | None:
    """What stands before a text, with which a completion goes on to another one."""
    before = question.layout.prefix + question.layout.around()[0]
    line = before.rstrip().rpartition("\n")[2]
    return None if not line or line in question.subject.text else "\n" + line


def _limit(settings: RemoteSettings, question: str) -> int | None:
    """What an answer may have where the settings don't say it."""
    if isinstance(question, Prompt):
        limit = most_tokens(question)
    elif settings.call == "completion":
        # Without a limit, it has 16 tokens at most servers.
        limit = len(question.encode("utf8", "replace")) // 2 + 256
    else:
        return None
    if settings.context_length is not None:
        # Making a model needs no spaCy.
        from ..sharding import estimated

        room = settings.context_length - estimated(question)
        limit = min(limit, room if room > 0 else settings.context_length)
    return limit


_SHOWN = 200


class ParsedResponse(NamedTuple):
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


class APIError(NamedTuple):
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


def read_reply(content: bytes, kind: str) -> ParsedResponse:
    """Read the response to a request.

    content (bytes): Its body.
    kind (str): Its content type, for the message.
    RETURNS (ParsedResponse): The first choice.
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
    return ParsedResponse(
        # Half of a surrogate pair can't be written to any file.
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
        finish == "length",
        choice.get("logprobs"),
        *tokens,
    )


def read_refusal(content: bytes) -> APIError:
    """Read the response to a request that failed.

    content (bytes): Its body.
    RETURNS (APIError): What it says.
    """
    try:
        value = read_json(content)
    except ValueError:
        return APIError(shown(content.decode("utf8", "replace")) or "no message")
    if not isinstance(value, dict):
        return APIError(shown(str(value)))
    error = value.get("error") or value
    if not isinstance(error, dict):
        return APIError(shown(str(error)))
    message = error.get("message") or error.get("detail") or error
    code, param = error.get("code"), error.get("param")
    codes = " ".join(str(part) for part in (code, error.get("type"), param) if part)
    status = code if type(code) is int and 400 <= code < 600 else 500
    return APIError(shown(str(message)), shown(codes), status)


def hidden_refusal(content: bytes) -> APIError | None:
    """The error in a response whose status says that there is none.

    content (bytes): Its body.
    RETURNS (Optional[APIError]): The error, if there is one.
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


# A token with what could have stood there, and how probable each was.
_Place = tuple[str, list[tuple[str, float]]]
_MOST = 0.5


class YesNoProbability(NamedTuple):
    """The answer to a yes-no question.

    probability (Optional[float]): That of the first word, against the second; None
        where the answer says neither.
    error (Optional[Exception]): Why there is no answer.
    """

    probability: float | None
    error: Exception | None = None


def check_options(options: Sequence[str]) -> tuple[str, str]:
    """Check the two words, one of which answers a question.

    options (Sequence[str]): The words.
    RETURNS (Tuple[str, str]): The same, stripped and in small letters.
    RAISES (ValueError): They are not two, or begin with the same letter.
    """
    words = [str(option).strip().lower() for option in options]
    if len(words) != 2 or not all(words) or words[0][0] == words[1][0]:
        raise ValueError(Errors.G725.format(found=list(options)))
    return words[0], words[1]


def read_yes_no(reply: ParsedResponse, options: tuple[str, str]) -> float | None:
    """The probability of the first word.

    It is that of the tokens that begin it, of all that begin either, at the first place
    where such a token was taken or they hold most of the probability. Where there is no
    such place, or the server gives no probabilities, it is 1 or 0 by the word that
    comes first in the answer. What the model thought before is no part of it.

    reply (ParsedResponse): The answer.
    options (Tuple[str, str]): The two words, in small letters.
    RETURNS (Optional[float]): The probability; None where there is neither word.
    """
    for token, alternatives in _behind_thought(list(_positions(reply.logprobs))):
        if not any(char.isalnum() for char in token):
            # A line break or a mark before the word.
            continue
        first, second = (_mass(alternatives, option) for option in options)
        # At any other place the two have a trace of probability, which says nothing.
        taken = any(_begins(token, option) for option in options)
        if first + second > (0 if taken else _MOST):
            return first / (first + second)
    answer = reply.text[thought_before(reply.text) :].lower()
    found = re.search("|".join(rf"\b{re.escape(o)}\b" for o in options), answer)
    return None if found is None else float(found[0] == options[0])


def _behind_thought(places: list[_Place]) -> list[_Place]:
    written = "".join(token for token, _ in places)
    begin = thought_before(written)
    ends = accumulate(len(token) for token, _ in places)
    return [place for place, end in zip(places, ends, strict=True) if end > begin]


def _begins(token: str, option: str) -> bool:
    start = token.strip().lower()
    return bool(start) and option.startswith(start)


def _mass(alternatives: Sequence[tuple[str, float]], option: str) -> float:
    total = 0.0
    for token, logprob in alternatives:
        if _begins(token, option):
            total += math.exp(min(logprob, 0.0))
    return total


def _positions(logprobs: Any) -> Iterator[_Place]:
    """Each token of an answer with what could have stood there, as either call of the
    protocol has it."""
    if not isinstance(logprobs, dict):
        return
    content = logprobs.get("content")
    if isinstance(content, list):
        for place in content:
            if isinstance(place, dict):
                top = place.get("top_logprobs")
                pairs = [_pair(item) for item in (top if isinstance(top, list) else [])]
                yield str(place.get("token")), _usable([_pair(place), *pairs])
        return
    tokens, tops = logprobs.get("tokens"), logprobs.get("top_logprobs")
    if not isinstance(tokens, list) or not isinstance(tops, list):
        return
    chosen = logprobs.get("token_logprobs")
    chosen = chosen if isinstance(chosen, list) else [None] * len(tokens)
    for token, logprob, top in zip(tokens, chosen, tops, strict=False):
        pairs = list(top.items()) if isinstance(top, dict) else []
        yield str(token), _usable([(token, logprob), *pairs])


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, dict):
        return None, None
    return item.get("token"), item.get("logprob")


def _usable(pairs: Sequence[tuple[Any, Any]]) -> list[tuple[str, float]]:
    """Each token once: the one that was taken stands among the others too."""
    known: dict[str, float] = {}
    for token, logprob in pairs:
        if isinstance(token, str) and isinstance(logprob, (int, float)):
            if not math.isnan(logprob):
                known[token] = float(logprob)
    return list(known.items())
