"""The OpenAI protocol: request bodies, JSON schemas, responses and log-probabilities.

Nothing here sends anything. Servers differ in the details of their responses, so every
part of a response is checked before it is used.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from ...errors import Errors
from ...export.served import LLAMA_CPP, VLLM
from ...formats import CharSpan, get_format
from ..alignment import thought_before
from ..messages import Prompt
from .settings import RemoteSettings

# The key of the list in an answer. Structured output must be an object.
WRAPPER = "entities"
_POSITION_KEYS = {
    "occurrence_json": ("occurrence_index",),
    "offset_json": ("start", "end"),
}
# Python's types of the JSON types in schemas.
_TYPES = {"object": "dict", "array": "list", "string": "str", "integer": "int"}
_PYTHON_TYPES = {
    "object": "dict",
    "array": "list",
    "string": "str",
    "integer": "int",
}
# Bytes of text that a model may write around its answer.
_AROUND = 256
# Two offsets of an entry, in addition to the digits of the sample entry.
_OFFSETS = 2
# Tokens of a yes-no answer. A chat model may begin with a line break or markup.
YES_NO_TOKENS = 4
# The largest number of alternative tokens that OpenAI returns.
TOP_LOGPROBS = {"chat": 20, "completion": 5}
_EXCERPT_LENGTH = 200
# A probability above which two words are the likely ones at a position.
_MAJORITY = 0.5


class Request(NamedTuple):
    """A request for an answer.

    body (dict[str, Any]): The request body, with all parameters that are wanted. A
        server may support fewer.
    schema (dict[str, Any] | None): The JSON schema of the answer, if it has one.
    has_estimated_limit (bool): Whether the token limit is an estimate, so that it may
        be lowered.
    """

    body: dict[str, Any]
    schema: dict[str, Any] | None = None
    has_estimated_limit: bool = False


def make_request(settings: RemoteSettings, prompt: str) -> Request:
    """Make the request for an answer to a prompt.

    settings (RemoteSettings): The settings.
    prompt (str): The prompt. A `Prompt` has its text and output format.
    RETURNS (Request): The request.
    """
    body = _prompt_body(settings, prompt)
    schema = None
    limit = settings.max_tokens or _estimated_limit(settings, prompt)
    if limit is not None and "max_completion_tokens" not in settings.extra:
        body["max_tokens"] = limit
    if isinstance(prompt, Prompt):
        layout = prompt.layout
        if settings.structured is not False:
            schema = answer_schema(layout.format, layout.labels)
        if schema is not None:
            body["response_format"] = response_format(schema)
        stop = next_cue(prompt) if settings.call == "completion" else None
        if stop is not None:
            body["stop"] = [stop]
    return Request({**body, **settings.extra}, schema, settings.max_tokens is None)


def make_yes_no_request(settings: RemoteSettings, prompt: str) -> Request:
    """Make the request for one of two words and its log-probability. The answer is
    limited to a few tokens, or to those that the settings allow."""
    body = {**_prompt_body(settings, prompt), **settings.extra}
    extra_limit = body.get("max_completion_tokens")
    key = "max_tokens" if extra_limit is None else "max_completion_tokens"
    # A higher limit leaves a model room to think before it answers.
    body[key] = max(YES_NO_TOKENS, extra_limit or settings.max_tokens or 0)
    alternatives = TOP_LOGPROBS[settings.call]
    if settings.call == "chat":
        body.update(logprobs=True, top_logprobs=alternatives)
    else:
        body["logprobs"] = alternatives
    return Request(body)


class TokenIds(list[int]):
    """The token ids of a prompt, which also has a form for servers that only take text.

    ids (Iterable[int]): The ids.
    text (str): The prompt as text, without the tokens that a server puts before it.
    control (str): The name of a control token in the text to annotate, which a server
        would not read as text. Empty if there is none.
    """

    def __init__(self, ids: Iterable[int], text: str, control: str = ""):
        super().__init__(ids)
        self.text = text
        self.control = control


class TokenPrompt(NamedTuple):
    """A prompt for the raw completion of token ids.

    ids (TokenIds): The ids.
    max_tokens (int): The maximum number of tokens in the answer.
    grammar (str | None): The grammar of the answer in GBNF, if it has one.
    stop (tuple[str, ...]): Strings that end the answer.
    stop_ids (tuple[int, ...]): Tokens that end it, besides the end of a text.
    """

    ids: TokenIds
    max_tokens: int
    grammar: str | None = None
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()


def make_token_request(
    settings: RemoteSettings, prompt: TokenPrompt, server: str | None
) -> Request:
    """Make the request for the raw completion of token ids.

    settings (RemoteSettings): The settings.
    prompt (TokenPrompt): The prompt.
    server (str | None): "vllm" or "llama.cpp", which name a grammar differently. None
        if it is unknown: a server ignores the name that it does not know, or refuses
        both.
    RETURNS (Request): The request.
    """
    body: dict[str, Any] = {"model": settings.name, "prompt": prompt.ids}
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    if "max_completion_tokens" not in settings.extra:
        body["max_tokens"] = settings.max_tokens or prompt.max_tokens
    if prompt.stop:
        body["stop"] = list(prompt.stop)
    if prompt.stop_ids and server == VLLM:
        body["stop_token_ids"] = list(prompt.stop_ids)
    if server == LLAMA_CPP:
        # The server of llama-cpp-python penalizes repetitions by default, which every
        # copy of a text consists of.
        body["repeat_penalty"] = 1.0
    if settings.scores:
        body["logprobs"] = TOP_LOGPROBS["completion"]
    if prompt.grammar is not None:
        if server != VLLM:
            body["grammar"] = prompt.grammar
        if server != LLAMA_CPP:
            body["structured_outputs"] = {"grammar": prompt.grammar}
    return Request({**body, **settings.extra}, None, settings.max_tokens is None)


def _prompt_body(settings: RemoteSettings, prompt: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": settings.name}
    text = str.__str__(prompt)
    if settings.call == "chat":
        messages = [{"role": "user", "content": text}]
        if settings.system is not None:
            messages.insert(0, {"role": "system", "content": settings.system})
        body["messages"] = messages
    else:
        body["prompt"] = text
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    return body


def next_cue(prompt: Prompt) -> str | None:
    """Get the line before a text, after which a completion would continue with a new
    one.

    prompt (Prompt): The prompt.
    RETURNS (str | None): The line. None if the text itself has such a line.
    """
    before = prompt.layout.prefix + prompt.layout.around()[0]
    line = before.rstrip().rpartition("\n")[2]
    return None if not line or line in prompt.subject.text else "\n" + line


def _estimated_limit(settings: RemoteSettings, prompt: str) -> int | None:
    if isinstance(prompt, Prompt):
        limit = answer_limit(prompt)
    elif settings.call == "completion":
        # Most servers limit a completion to 16 tokens by default.
        limit = _size(prompt) // 2 + 256
    else:
        return None
    if settings.context_length is not None:
        # Imported here, since making a model needs no spaCy.
        from ..sharding import estimated

        room = settings.context_length - estimated(prompt)
        limit = min(limit, room if room > 0 else settings.context_length)
    return limit


def answer_limit(prompt: Prompt) -> int:
    """Compute a token limit that no correct answer reaches, so that only an endless one
    is cut off.

    The limit is the size in bytes of an answer with one span for each word, since a
    token has at least one byte. Nested spans are covered as well: not every word is a
    span.

    prompt (Prompt): The prompt.
    RETURNS (int): The number of tokens.
    """
    layout, words = prompt.layout, prompt.subject.words
    label = max(layout.labels, key=_size, default="x")
    spans = [CharSpan(0, 1, label), CharSpan(2, 3, label)]
    render = get_format(layout.format).render
    one, two = (_size(render("x x", some, [label])) for some in (spans[:1], spans))
    entry = two - one + _OFFSETS * len(str(len(prompt.subject.text)))
    text = sum(_size(word) + 1 for word in words)
    labels = sum(_size(name) + len('"": [], ') for name in layout.labels)
    return text + entry * len(words) + labels + _AROUND


def _size(text: str) -> int:
    return len(text.encode("utf8", "replace"))


def answer_schema(format_name: str, labels: Sequence[str]) -> dict[str, Any] | None:
    """Make the JSON schema of answers in an output format. None if the format is not
    JSON or there are no labels."""
    if not labels:
        return None
    if format_name == "grouped_json":
        texts = {"type": "array", "items": {"type": "string"}}
        return _object_schema({label: texts for label in labels})
    if format_name not in _POSITION_KEYS:
        return None
    entry = {
        "text": {"type": "string"},
        "label": {"type": "string", "enum": list(labels)},
        **{key: {"type": "integer"} for key in _POSITION_KEYS[format_name]},
    }
    return _object_schema({WRAPPER: {"type": "array", "items": _object_schema(entry)}})


def _object_schema(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """Make the parameter `response_format` of a request from a JSON schema."""
    named = {"name": WRAPPER, "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": named}


def json_object_format(value: dict[str, Any]) -> dict[str, Any]:
    """Convert a value of `response_format` to the form that llama-cpp-python's server
    supports."""
    return {"type": "json_object", "schema": value["json_schema"]["schema"]}


def unwrap_answer(answer: str, schema: dict[str, Any]) -> str:
    """Convert an answer that matches its schema to the output format: without the
    wrapper, with keys in the format's order, spaced as by `json.dumps`.

    answer (str): The answer.
    schema (dict[str, Any]): The schema of the request.
    RETURNS (str): The answer in its format. An answer that does not match the schema is
        returned as it is, and the format's parser reports the fault.
    """
    try:
        value = _match(json.loads(answer, object_pairs_hook=_unique_keys), schema)
        # A label may have the wrapper's name. The items of its list are strings.
        properties = schema["properties"]
        if (
            list(properties) == [WRAPPER]
            and properties[WRAPPER]["items"]["type"] == "object"
        ):
            value = value[WRAPPER]
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return answer


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("duplicate key")
    return value


def _match(value: Any, schema: dict[str, Any]) -> Any:
    """The value with keys in the schema's order. ValueError if it does not match."""
    kind = schema["type"]
    if type(value).__name__ != _PYTHON_TYPES[kind]:
        raise ValueError(f"not of the type {kind}")
    if kind == "array":
        return [_match(item, schema["items"]) for item in value]
    if kind != "object":
        return value
    properties = schema["properties"]
    if set(value) != set(properties):
        raise ValueError("missing or unknown keys")
    return {key: _match(value[key], properties[key]) for key in properties}


class ParsedResponse(NamedTuple):
    """A response with an answer.

    text (str): The text that the model wrote.
    truncated (bool): Whether the text was cut off at the token limit.
    logprobs (Any): The log-probabilities of the tokens, as JSON, if any.
    prompt_tokens (int | None): The tokens in the prompt. None if not reported.
    completion_tokens (int | None): The tokens in the answer. None if not reported.
    dropped (tuple[str, ...]): Parameters left out of the request since the server
        refuses them.
    """

    text: str
    truncated: bool = False
    logprobs: Any = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    dropped: tuple[str, ...] = ()


class ErrorResponse(NamedTuple):
    """A response with an error.

    message (str): The server's message, on one line.
    code (str): The code, the type and the parameter at fault, if the server names them.
    status (int): The HTTP status.
    """

    message: str
    code: str = ""
    status: int = 500

    @property
    def description(self) -> str:
        """Code and message in lower case."""
        return f"{self.code} {self.message}".lower()


class MalformedResponseError(Exception):
    """A response that is truncated or not of the protocol."""


class EmptyAnswerError(Exception):
    """A response without an answer text.

    finish_reason (str): Why the model stopped.
    explanation (str): The model's refusal, if there is one.
    tokens (tuple[int | None, int | None]): The tokens in the prompt and in the answer.
        None if not reported.
    """

    def __init__(
        self,
        finish_reason: str,
        explanation: str,
        tokens: tuple[int | None, int | None],
    ):
        super().__init__(finish_reason, explanation)
        self.finish_reason = finish_reason
        self.explanation = explanation
        self.tokens = tokens


def parse_response(content: bytes, content_type: str) -> ParsedResponse | ErrorResponse:
    """Parse the body of a response with a status of success.

    content (bytes): The body.
    content_type (str): Its content type, for the message of an error.
    RETURNS (ParsedResponse | ErrorResponse): The first choice, or the error that some
        servers send with a status of success.
    RAISES (MalformedResponseError): There are no choices.
    RAISES (EmptyAnswerError): The first choice has no text.
    """
    try:
        value = _parse_json(content)
    except ValueError:
        begin = excerpt(content.decode("utf8", "replace"))
        raise MalformedResponseError(
            f"the response is not JSON ({content_type or 'no content type'}): {begin!r}"
        ) from None
    choices = value.get("choices") if isinstance(value, dict) else None
    if not choices and isinstance(value, dict) and value.get("error"):
        return parse_error(content)
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedResponseError(
            f"the response has no choices: {excerpt(str(value))!r}"
        )
    choice = choices[0]
    message = choice.get("message", choice)
    text = _answer_text(message)
    finish_reason = choice.get("finish_reason")
    usage = value.get("usage")
    tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if text is None or finish_reason == "content_filter":
        refusal = message.get("refusal") or "content is null"
        raise EmptyAnswerError(str(finish_reason), excerpt(str(refusal)), tokens)
    return ParsedResponse(
        valid_unicode(text), finish_reason == "length", choice.get("logprobs"), *tokens
    )


def _answer_text(message: Any) -> str | None:
    if not isinstance(message, dict):
        raise MalformedResponseError(
            f"the message of the response is {excerpt(str(message))!r}"
        )
    content = message.get("content") if "content" in message else message.get("text")
    if isinstance(content, list):
        # Some servers separate the model's thoughts from its answer.
        content = "".join(
            part["text"]
            for part in content
            if isinstance(part, dict)
            and part.get("type") == "text"
            and isinstance(part.get("text"), str)
        )
    if content is None or isinstance(content, str):
        return content
    raise MalformedResponseError(
        f"the content of the response is {excerpt(str(content))!r}"
    )


def _count(usage: Any, key: str) -> int | None:
    count = usage.get(key) if isinstance(usage, dict) else None
    return count if type(count) is int and count >= 0 else None


def parse_error(content: bytes, status: int | None = None) -> ErrorResponse:
    """Parse the body of an error.

    content (bytes): The body.
    status (int | None): The HTTP status. None reads it from the body.
    RETURNS (ErrorResponse): The error.
    """
    try:
        value = _parse_json(content)
    except ValueError:
        value = content.decode("utf8", "replace").strip() or "no message"
    error = (value.get("error") or value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return ErrorResponse(excerpt(str(error)), status=status or 500)
    message = error.get("message") or error.get("detail") or error
    code, param = error.get("code"), error.get("param")
    codes = " ".join(str(part) for part in (code, error.get("type"), param) if part)
    if status is None:
        status = code if type(code) is int and 400 <= code < 600 else 500
    return ErrorResponse(excerpt(str(message)), excerpt(codes), status)


def _parse_json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def excerpt(text: str) -> str:
    """The beginning of a text from an untrusted source, on one line."""
    line = " ".join(text[: 10 * _EXCERPT_LENGTH].split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= _EXCERPT_LENGTH else line[:_EXCERPT_LENGTH] + "..."


def valid_unicode(text: str) -> str:
    """Replace lone surrogates, which can't be encoded, by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class YesNoProbability(NamedTuple):
    """The answer to a yes-no question.

    probability (float | None): The probability of the first word, relative to both.
        None if the answer has neither word.
    error (Exception | None): The reason if there is no answer.
    """

    probability: float | None
    error: Exception | None = None


class _Position(NamedTuple):
    """A token of an answer, and the log-probabilities of it and its alternatives."""

    token: str
    logprobs: dict[str, float]


class TokenProbability(NamedTuple):
    """A token of an answer with its probability.

    text (str): The text of the token.
    logprob (float): The natural logarithm of its probability.
    alternatives (dict[str, float]): The logarithms of the most likely tokens at this
        position, including the token itself if it is among them.
    """

    text: str
    logprob: float
    alternatives: dict[str, float]


def token_probabilities(logprobs: Any) -> list[TokenProbability]:
    """Read the tokens of an answer, in the form of the chat or the completion call.

    logprobs (Any): The log-probabilities of a response, as JSON.
    RETURNS (list[TokenProbability]): The tokens. Empty if there are none, or one of
        them has no probability.
    """
    tokens = []
    for text, found in _positions(logprobs):
        if text in found:
            tokens.append(TokenProbability(text, found[text], found))
        elif text:
            return []
    return tokens


def check_options(options: Sequence[str]) -> tuple[str, str]:
    """Check the two words that answer a yes-no question.

    options (Sequence[str]): The words.
    RETURNS (tuple[str, str]): The words, stripped and in lower case.
    RAISES (ValueError): There are not two, or their first letters are the same.
    """
    words = [str(option).strip().lower() for option in options]
    if len(words) != 2 or not all(words) or words[0][0] == words[1][0]:
        raise ValueError(Errors.G725.format(found=list(options)))
    return words[0], words[1]


def yes_no_probability(
    response: ParsedResponse, options: tuple[str, str]
) -> float | None:
    """Compute the probability of the first word.

    It is the share of the tokens that begin the first word among those that begin
    either word. It is computed at the first position where the model wrote such a token
    or where these tokens have most of the probability. If there is no such position, or
    the server returned no log-probabilities, the probability is 1 or 0 by the word that
    comes first in the answer. Thoughts before the answer are ignored.

    response (ParsedResponse): The response.
    options (tuple[str, str]): The two words, in lower case.
    RETURNS (float | None): The probability. None if the answer has neither word.
    """
    for token, logprobs in _without_thoughts(list(_positions(response.logprobs))):
        if not any(char.isalnum() for char in token):
            # A line break or markup before the word.
            continue
        first, second = (_mass(logprobs, option) for option in options)
        # At other positions the two words have a negligible probability, and its shares
        # are meaningless.
        is_written = any(_begins(token, option) for option in options)
        if first + second > (0 if is_written else _MAJORITY):
            return first / (first + second)
    answer = response.text[thought_before(response.text) :].lower()
    found = re.search("|".join(rf"\b{re.escape(o)}\b" for o in options), answer)
    return None if found is None else float(found[0] == options[0])


def _without_thoughts(positions: list[_Position]) -> list[_Position]:
    begin = thought_before("".join(token for token, _ in positions))
    ends = accumulate(len(token) for token, _ in positions)
    return [p for p, end in zip(positions, ends, strict=True) if end > begin]


def _begins(token: str, option: str) -> bool:
    start = token.strip().lower()
    return bool(start) and option.startswith(start)


def _mass(logprobs: dict[str, float], option: str) -> float:
    return sum(
        math.exp(min(logprob, 0.0))
        for token, logprob in logprobs.items()
        if _begins(token, option)
    )


def _positions(logprobs: Any) -> Iterator[_Position]:
    """The positions of an answer, in the form of the chat or the completion call."""
    if not isinstance(logprobs, dict):
        return
    content = logprobs.get("content")
    if isinstance(content, list):
        for item in content:
            if isinstance(item, dict):
                top = item.get("top_logprobs")
                items = [item, *(top if isinstance(top, list) else [])]
                pairs = [
                    (each.get("token"), each.get("logprob"))
                    for each in items
                    if isinstance(each, dict)
                ]
                yield _Position(str(item.get("token")), _valid_logprobs(pairs))
        return
    tokens, tops = logprobs.get("tokens"), logprobs.get("top_logprobs")
    if not isinstance(tokens, list) or not isinstance(tops, list):
        return
    chosen = logprobs.get("token_logprobs")
    chosen = chosen if isinstance(chosen, list) else [None] * len(tokens)
    for token, logprob, top in zip(tokens, chosen, tops, strict=False):
        pairs = list(top.items()) if isinstance(top, dict) else []
        yield _Position(str(token), _valid_logprobs([(token, logprob), *pairs]))


def _valid_logprobs(pairs: Sequence[tuple[Any, Any]]) -> dict[str, float]:
    """Each token once: the alternatives include the token that was written."""
    return {
        token: float(logprob)
        for token, logprob in pairs
        if isinstance(token, str)
        and isinstance(logprob, (int, float))
        and not math.isnan(logprob)
    }
