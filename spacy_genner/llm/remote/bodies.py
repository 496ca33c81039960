"""What a request says."""

from typing import Any, NamedTuple

from ..exchange import Question
from .limits import most_tokens
from .schemas import answer_schema, response_format
from .settings import RemoteSettings

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
    question (str): The prompt; that of a `Question` knows its text and format.
    RETURNS (Request): The request.
    """
    body = _prompt(settings, question)
    schema = None
    limit = settings.max_tokens or _limit(settings, question)
    if limit is not None and "max_completion_tokens" not in settings.extra:
        body["max_tokens"] = limit
    if isinstance(question, Question):
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


def _next_cue(question: Question) -> str | None:
    """What stands before a text, with which a completion goes on to another one."""
    before = question.layout.prefix + question.layout.around()[0]
    line = before.rstrip().rpartition("\n")[2]
    return None if not line or line in question.subject.text else "\n" + line


def _limit(settings: RemoteSettings, question: str) -> int | None:
    """What an answer may have where the settings don't say it."""
    if isinstance(question, Question):
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
