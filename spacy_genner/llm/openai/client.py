"""The client: sends prompts concurrently, with cache, retries and limits."""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ...errors import Errors, Warnings, warn
from ..alignment import thought_before
from ..messages import Completion, Prompt
from .cache import CacheError, ResponseCache, request_key
from .protocol import (
    APIError,
    NoTextError,
    ParsedResponse,
    Request,
    UnreadableError,
    YesNoProbability,
    ask,
    ask_yes_no,
    check_options,
    hidden_refusal,
    read_refusal,
    read_reply,
    read_yes_no,
    unwrapped,
)
from .retry import (
    CapabilityFallback,
    CircuitBreaker,
    Clock,
    Failure,
    RateLimiter,
    RemoteError,
    RetryBudget,
    asked_wait,
    conceded,
    is_misnamed,
    is_too_long,
    judge,
    spent_wait,
    too_long_a_wait,
)
from .settings import RemoteSettings, Secret, read_secret
from .usage import Usage, UsageTracker

# More than any answer has; a server may go on for ever.
MOST_BYTES = 32 * 1024 * 1024


class Response(NamedTuple):
    """A response in whole.

    status (int): Its HTTP status.
    headers (Dict[str, str]): Its headers, with small letters.
    content (bytes): Its body.
    """

    status: int
    headers: dict[str, str]
    content: bytes


class CutError(Exception):
    """A try that got no whole response; the message says why."""


class Connection:
    """Connections to a server, for use in one event loop.

    settings (RemoteSettings): The settings.
    secret (Secret): The key.
    RAISES (ImportError): httpx is missing.
    """

    def __init__(self, settings: RemoteSettings, secret: Secret):
        try:
            import httpx
        except ImportError:
            raise ImportError(Errors.G707) from None
        self._httpx = httpx
        self._settings = settings
        self._secret = secret
        self._client: Any = None

    async def post(self, body: dict[str, Any]) -> Response:
        """Send a request.

        body (Dict[str, Any]): What it says.
        RETURNS (Response): The response, whatever its status.
        RAISES (CutError): There is none, or not all of it, in time.
        """
        timeout = self._settings.timeout
        try:
            # The time-outs of httpx are for each read; a server that sends a byte now
            # and then would never reach them.
            return await asyncio.wait_for(self._post(body), timeout)
        except (asyncio.TimeoutError, self._httpx.TimeoutException):
            reason = f"no whole response within {timeout:g} seconds"
        except CutError:
            raise
        except Exception as error:
            # Whatever goes wrong below: one question must not take the others along.
            said = self._secret.scrubbed(str(error) or "connection cut")
            reason = f"{type(error).__name__}: {said}"
        # Outside of the handler: the error of httpx holds the request with the key.
        raise CutError(reason)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _post(self, body: dict[str, Any]) -> Response:
        if self._client is None:
            # Made where it is used, for it belongs to the event loop.
            self._client = self._httpx.AsyncClient(
                timeout=None,
                limits=self._httpx.Limits(
                    max_connections=self._settings.max_concurrent
                ),
            )
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._secret.header:
            headers["Authorization"] = self._secret.header
        url = f"{self._settings.base_url}/{self._settings.path}"
        content = json.dumps(body).encode()
        async with self._client.stream(
            "POST", url, content=content, headers=headers
        ) as response:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    raise CutError(f"the response has more than {MOST_BYTES} bytes")
        named = {key.lower(): value for key, value in response.headers.items()}
        return Response(response.status_code, named, b"".join(parts))


# Seconds: the longest wait that a server may ask for; beyond it, a person decides.
_LONGEST_WAIT = 300.0
# Seconds: how long all wait at most where an answer says that nothing is left for now.
_LONGEST_PAUSE = 60.0
# Tokens: a guessed limit that is refused is halved down to this.
_LEAST_LIMIT = 128


class SendResult(NamedTuple):
    """What became of a question: one of the two is there.

    reply (Optional[ParsedResponse]): The answer.
    error (Optional[Exception]): Why there is none.
    """

    reply: ParsedResponse | None
    error: Exception | None = None


class Shared(NamedTuple):
    """What the calls of one client have in common.

    settings (RemoteSettings): The settings.
    timing (Clock): Time and chance.
    gate (RateLimiter): Holds all back while the server asks for it.
    meter (UsageTracker): Counts.
    concessions (CapabilityFallback): What the server has refused.
    """

    settings: RemoteSettings
    timing: Clock
    gate: RateLimiter
    meter: UsageTracker
    concessions: CapabilityFallback


class Sender:
    """Sends questions, some at a time, for use in one event loop.

    shared (Shared): What the calls of a client have in common.
    secret (Secret): The key.
    connection (Connection): The server.
    """

    def __init__(self, shared: Shared, secret: Secret, connection: Connection):
        self._shared = shared
        self._settings = shared.settings
        self._secret = secret
        self._connection = connection
        self._places = asyncio.Semaphore(self._settings.max_concurrent)
        self._stopped: RemoteError | None = None
        self._streak = CircuitBreaker(shared.timing, self._settings.max_concurrent)

    async def send(self, request: Request) -> SendResult:
        """Send a question until it is answered or fails for good.

        request (Request): The question.
        RETURNS (SendResult): The answer, or why there is none.
        """
        async with self._places:
            # Where every question would fail, no other is sent.
            found = self._stopped or await self._answer(request)
        if isinstance(found, ParsedResponse):
            return SendResult(found)
        self._shared.meter.add(failures=1)
        return SendResult(None, found)

    async def _answer(self, request: Request) -> ParsedResponse | RemoteError:
        settings, timing, gate, meter, concessions = self._shared
        patience = RetryBudget(timing, settings.max_tries)
        body, sends = request.body, 0
        while True:
            await gate.wait()
            if self._stopped is not None:
                return self._stopped
            sent = concessions.applied(body)
            meter.add(requests=1, retries=int(sends > 0))
            sends += 1
            headers, found = await self._try(sent)
            if isinstance(found, ParsedResponse):
                self._streak.end(answered=True)
                return found._replace(conceded=conceded(request.body, sent))
            limited = False
            if isinstance(found, APIError):
                limited = found.status == 429
                other = self._conceded(request, body, sent, found)
                if other is not None:
                    body = other
                    continue
                found = judge(found, settings)
            if not found.again:
                return self._given(found)
            asked = asked_wait(headers, timing.now(), limited)
            if asked and asked > _LONGEST_WAIT:
                return self._given(too_long_a_wait(asked, found, settings))
            own = patience.failed(asked, limited, self._streak.failed())
            if patience.is_over:
                return self._exhausted(found, sends)
            if asked or limited:
                gate.close_for(asked or own)
                await gate.wait()
            if asked or not limited:
                # Not all at once when the gate opens.
                await timing.sleep(own)

    async def _try(
        self, sent: dict[str, Any]
    ) -> tuple[dict[str, str], ParsedResponse | APIError | Failure]:
        try:
            response = await self._connection.post(sent)
        except CutError as cut:
            return {}, Failure(str(cut), again=True)
        refusal = None
        if not 200 <= response.status < 300:
            refusal = read_refusal(response.content)._replace(status=response.status)
        else:
            refusal = hidden_refusal(response.content)
        if refusal is not None:
            scrub = self._secret.scrubbed
            message, code = scrub(refusal.message), scrub(refusal.code)
            return response.headers, APIError(message, code, refusal.status)
        pause = spent_wait(response.headers, self._shared.timing.now())
        if pause:
            self._shared.gate.close_for(min(pause, _LONGEST_PAUSE))
        return response.headers, self._read(response)

    def _conceded(
        self,
        request: Request,
        body: dict[str, Any],
        sent: dict[str, Any],
        refusal: APIError,
    ) -> dict[str, Any] | None:
        """What to send in place of a refused request, if that may help."""
        if refusal.status not in (400, 422) and not is_misnamed(refusal):
            return None
        self._shared.concessions.learn(sent, refusal)
        if self._shared.concessions.applied(body) != sent:
            return body
        if not (request.guessed and "max_tokens" in body and is_too_long(refusal)):
            return None
        # The prompt fits, only not with all that its answer may have.
        if self._settings.call == "chat":
            return {key: body[key] for key in body if key != "max_tokens"}
        # Without a limit, a completion has 16 tokens at most servers.
        limit = body["max_tokens"] // 2
        return {**body, "max_tokens": limit} if limit >= _LEAST_LIMIT else None

    def _read(self, response: Response) -> ParsedResponse | Failure:
        kind = response.headers.get("content-type", "")
        try:
            reply = read_reply(response.content, kind)
        except UnreadableError as error:
            return Failure(self._secret.scrubbed(str(error)), again=True)
        except NoTextError as error:
            # It is paid for, too.
            self._shared.meter.add_tokens(*error.tokens)
            known = {"url": self._settings.base_url, "model": self._settings.name}
            if error.finish == "content_filter":
                return Failure(Errors.G720.format(**known))
            said = self._secret.scrubbed(error.said)
            finish = self._secret.scrubbed(error.finish)
            return Failure(Errors.G719.format(**known, finish=finish, said=said))
        self._shared.meter.add_tokens(reply.prompt_tokens, reply.completion_tokens)
        return reply

    def _given(self, failure: Failure) -> RemoteError:
        error = RemoteError(failure.reason)
        if failure.stops and not (failure.doubtful and self._streak.has_answered):
            self._stopped = error
        self._streak.end(answered=False)
        return error

    def _exhausted(self, failure: Failure, tries: int) -> RemoteError:
        known = {"url": self._settings.base_url, "reason": failure.reason}
        self._streak.given_up += 1
        if self._streak.is_hopeless:
            count = self._streak.given_up
            self._stopped = RemoteError(Errors.G718.format(**known, count=count))
        return RemoteError(Errors.G717.format(**known, tries=tries))


THREAD_NAME = "spacy-genner-remote"
# Seconds.
_CANCEL_AGAIN = 0.2


class LoopThread:
    """An event loop in a thread of its own, which works where another is running, as
    in a notebook, and whose requests can be broken off at any moment."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=THREAD_NAME, daemon=True
        )
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "Future[Any]":
        """Run something in the loop.

        coroutine (Coroutine): What to run.
        RETURNS (Future): Its result.
        """
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self, last: Coroutine[Any, Any, Any]) -> None:
        """Break off what is running, and end the thread.

        last (Coroutine): What to run at the end.
        """
        self.start(_cancel_others()).result()
        self.start(last).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class ClientRun:
    """The questions of one call. Nothing of it is left when it is closed: neither
    threads nor connections, wherever it is broken off.

    shared (Shared): What the calls of a client have in common.
    RAISES (CacheError): The cache is damaged, or can't be opened.
    """

    def __init__(self, shared: Shared):
        self._shared = shared
        folder = shared.settings.cache
        self._cache = None if folder is None else ResponseCache(folder)
        self._thread: LoopThread | None = None
        self._connection: Connection | None = None
        self._sender: Sender | None = None
        self._under_way: dict[str, Future[SendResult]] = {}
        # Writes wait for other processes, and must not hold up the loop.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=THREAD_NAME)

    def __enter__(self) -> "ClientRun":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._thread is not None:
                assert self._connection is not None
                self._thread.close(self._connection.close())
        finally:
            # Answers that are there are still written.
            self._writer.shutdown()
            if self._cache is not None:
                self._cache.close()

    def start(self, request: Request) -> "SendResult | Future[SendResult]":
        """Ask a question, or find its answer in the cache.

        request (Request): The question.
        RETURNS (Union[SendResult, Future[SendResult]]): What became of it.
        RAISES (ValueError): There is no key. (ImportError): httpx is missing.
            (CacheError): The cache is damaged.
        """
        # By the request as it would be, not as the server takes it: so that a second
        # run, which does not know of refusals yet, finds it too.
        key = request_key(self._shared.settings, request.body)
        if self._cache is None:
            return self._begin(request, key)
        # Looked up before the cache, in which an answer is before it leaves here.
        first = self._under_way.get(key)
        if first is not None:
            assert self._thread is not None
            return self._thread.start(self._shared_with(first))
        found = self._cache.get(key)
        if found is not None and not self._lacks_schema(found):
            if "logprobs" in request.body and found.logprobs is None:
                self._shared.concessions.read_without_logprobs()
            return self._kept(found)
        started = self._under_way[key] = self._begin(request, key)
        started.add_done_callback(lambda _: self._under_way.pop(key, None))
        return started

    def _lacks_schema(self, kept: ParsedResponse) -> bool:
        """Whether an answer was made without the schema that the settings insist on."""
        required = self._shared.settings.structured is True
        return required and "response_format" in kept.conceded

    def _begin(self, request: Request, key: str) -> "Future[SendResult]":
        if self._thread is None:
            secret = read_secret(self._shared.settings)
            self._connection = Connection(self._shared.settings, secret)
            self._sender = Sender(self._shared, secret, self._connection)
            self._thread = LoopThread()
        return self._thread.start(self._send(request, key))

    async def _shared_with(self, first: "Future[SendResult]") -> SendResult:
        """What becomes of the same question, which is under way."""
        outcome = await asyncio.wrap_future(first)
        if outcome.reply is None:
            self._shared.meter.add(failures=1)
            return outcome
        return self._kept(outcome.reply)

    def _kept(self, reply: ParsedResponse) -> SendResult:
        self._shared.meter.add(from_cache=1, truncated=int(reply.truncated))
        return SendResult(reply)

    async def _send(self, request: Request, key: str) -> SendResult:
        assert self._sender is not None
        outcome = await self._sender.send(request)
        if outcome.reply is not None:
            self._shared.meter.add(truncated=int(outcome.reply.truncated))
            if self._cache is not None:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._writer, self._keep, key, outcome)
        return outcome

    def _keep(self, key: str, outcome: SendResult) -> None:
        assert self._cache is not None and outcome.reply is not None
        try:
            self._cache.put(key, outcome.reply)
        except CacheError as error:
            # The answer is there all the same.
            self._shared.concessions.note(Warnings.W704.format(reason=error))


async def _cancel_others() -> None:
    own = asyncio.current_task()
    while others := [task for task in asyncio.all_tasks() if task is not own]:
        for task in others:
            task.cancel()
        # What a task calls may swallow a cancellation that meets one of its own.
        await asyncio.wait(others, timeout=_CANCEL_AGAIN)


# How many questions, for each that is under way, are read ahead or wait to be given
# back behind a slower one.
_AHEAD = 4


class RemoteClient:
    """Asks a model behind a server that speaks the OpenAI protocol.

    Some questions are under way at a time; answers come in the order of the questions.
    A question that fails for good has an answer with its error, and takes no other
    along. It can be used in a notebook, where an event loop is running, and from
    several threads.

    settings (RemoteSettings): Which model is asked, where, and how.
    timing (Clock): Time and chance.
    """

    def __init__(self, settings: RemoteSettings, timing: Clock | None = None):
        self.settings = settings
        timing = timing or Clock()
        self._shared = Shared(
            settings,
            timing,
            RateLimiter(timing),
            UsageTracker(settings.prices),
            CapabilityFallback(settings),
        )
        self._told_of_cut = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process begins with counts of its own.
        return type(self), (self.settings,)

    @property
    def usage(self) -> Usage:
        """What was asked for since the client was made."""
        return self._shared.meter.usage

    def answer(self, questions: Sequence[str]) -> list[Completion]:
        """Ask questions.

        questions (Sequence[str]): The prompts; that of a `Prompt` knows its text.
        RETURNS (List[Completion]): The answers in the same order, each with its text or an
            error.
        RAISES (ValueError): The key is missing. (ImportError): httpx is missing.
            (CacheError): The cache can't be used.
        """
        return list(self.stream(questions))

    def stream(self, questions: Iterable[str]) -> Iterator[Completion]:
        """Ask any number of questions, of which a few are held at a time.

        questions (Iterable[str]): The prompts; that of a `Prompt` knows its text.
        YIELDS (Completion): The answers in the same order, each with its text or an error.
        RAISES (ValueError): The key is missing. (ImportError): httpx is missing.
            (CacheError): The cache can't be used.
        """
        asked = ((question, ask(self.settings, question)) for question in questions)
        for question, request, outcome in self._outcomes(asked):
            yield self._read(question, request, outcome)

    def probabilities(
        self, questions: Iterable[str], options: Sequence[str] = ("yes", "no")
    ) -> list[YesNoProbability]:
        """Ask questions that one of two words answers.

        questions (Iterable[str]): The prompts.
        options (Sequence[str]): The words, which differ in their first letter.
        RETURNS (List[YesNoProbability]): The probability of the first word for each question, or
            its error.
        RAISES (ValueError): The options can't be told apart, or the key is missing.
            (ImportError): httpx is missing. (CacheError): The cache can't be used.
        """
        words = check_options(options)
        asked = ((q, ask_yes_no(self.settings, q)) for q in questions)
        return [
            YesNoProbability(None, outcome.error)
            if outcome.reply is None
            else YesNoProbability(read_yes_no(outcome.reply, words))
            for _, _, outcome in self._outcomes(asked)
        ]

    def _read(self, question: str, request: Request, outcome: SendResult) -> Completion:
        if outcome.reply is None:
            return Completion(error=outcome.error)
        text, truncated = outcome.reply.text, outcome.reply.truncated
        if not isinstance(question, Prompt):
            # Of others the format's parser reports that they were cut.
            if truncated and not self._told_of_cut:
                self._told_of_cut = True
                warn(Warnings.W702.format(model=self.settings.name))
            return Completion(text)
        asked = question.subject.text
        begin = thought_before(text, asked, question.layout.labels)
        thought, text = text[:begin], text[begin:]
        if request.schema is not None:
            text = unwrapped(text, request.schema)
        return Completion(thought + _without_line_breaks(text, asked))

    def _outcomes(
        self, asked: Iterable[tuple[str, Request]]
    ) -> Iterator[tuple[str, Request, SendResult]]:
        limit = _AHEAD * self.settings.max_concurrent
        pending: deque[tuple[str, Request, SendResult | Future[SendResult]]] = deque()
        last = []
        with ClientRun(self._shared) as run:
            for question, request in asked:
                pending.append((question, request, run.start(request)))
                while len(pending) >= limit or (pending and _is_done(pending[0][2])):
                    yield self._settled(*pending.popleft())
            while len(pending) > 1:
                yield self._settled(*pending.popleft())
            if pending:
                last.append(self._settled(*pending.popleft()))
        # Whoever takes no more than the answers there are leaves no thread behind.
        yield from last

    def _settled(
        self,
        question: str,
        request: Request,
        started: "SendResult | Future[SendResult]",
    ) -> tuple[str, Request, SendResult]:
        outcome = started.result() if isinstance(started, Future) else started
        for note in self._shared.concessions.take_notes():
            warn(note)
        return question, request, outcome


def _is_done(started: "SendResult | Future[SendResult]") -> bool:
    return not isinstance(started, Future) or started.done()


def _without_line_breaks(written: str, text: str) -> str:
    """Leave out the line breaks around an answer, unless the text has some itself."""
    if not text.startswith("\n"):
        written = written.lstrip("\n")
    return written if text.endswith("\n") else written.rstrip("\n")
