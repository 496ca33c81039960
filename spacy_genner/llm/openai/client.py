"""The client: sends prompts concurrently, with a cache, retries and limits.

`RemoteClient` answers prompts in order. Each of its calls opens a `_Session`, which
owns an event loop in a thread, and a `_Sender`, which repeats failed requests. The
openai SDK sends them, in `_Transport`.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ...errors import Errors, Warnings, warn
from ..alignment import thought_before
from ..messages import Completion, Prompt
from .cache import CacheError, ResponseCache, request_key
from .protocol import (
    EmptyAnswerError,
    ErrorResponse,
    MalformedResponseError,
    ParsedResponse,
    Request,
    TokenIds,
    TokenPrompt,
    YesNoProbability,
    check_options,
    make_request,
    make_token_request,
    make_yes_no_request,
    parse_error,
    parse_response,
    unwrap_answer,
    valid_unicode,
    yes_no_probability,
)
from .retry import (
    STRUCTURE,
    CapabilityFallback,
    CircuitBreaker,
    Clock,
    Failure,
    RateLimiter,
    RemoteError,
    RetryBudget,
    classify_error,
    dropped_parameters,
    exhausted_wait,
    is_too_long,
    is_unsupported,
    requested_wait,
)
from .settings import RemoteSettings, Secret, read_secret
from .usage import Usage, UsageTracker

THREAD_NAME = "spacy-genner-remote"
# Larger than any answer. A faulty server may never stop sending.
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
# Prompts, for each request in flight, that are read ahead or wait behind a slower one.
_READ_AHEAD = 4
# Seconds: the longest wait that a server may ask for. The run ends if it asks for more.
_MAX_REQUESTED_WAIT = 300.0
# Seconds: the longest pause after an answer that exhausted a rate limit.
_MAX_PAUSE = 60.0
# Tokens: an estimated limit that the server refuses is halved down to this.
_MIN_TOKEN_LIMIT = 128
# Seconds between attempts to cancel tasks.
_CANCEL_INTERVAL = 0.2
# The arguments that the SDK requires. All others may be unknown to it.
_REQUIRED = {"chat": ("model", "messages"), "completion": ("model", "prompt")}


class RemoteClient:
    """Sends prompts to a model behind a server that speaks the OpenAI protocol.

    Several requests are in flight at a time, and answers come in the order of the
    prompts. A prompt that fails has an answer with its error and does not affect the
    others. The client works in a notebook, where an event loop is running, and may be
    used by several threads.

    settings (RemoteSettings): The settings.
    clock (Clock | None): The clock and random source.
    RAISES (ValueError): On the first request, the API key is missing.
    RAISES (ImportError): On the first request, the openai package is not installed.
    RAISES (CacheError): On any call, the cache can't be used.
    """

    def __init__(self, settings: RemoteSettings, clock: Clock | None = None):
        self.settings = settings
        self._state = _State(settings, clock or Clock())
        self._has_warned_of_truncation = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The copy in another process has its own counts.
        return type(self), (self.settings,)

    @property
    def usage(self) -> Usage:
        """Requests, tokens and cost since the client was made."""
        return self._state.tracker.usage

    def answer(self, prompts: Sequence[str]) -> list[Completion]:
        """Answer prompts.

        prompts (Sequence[str]): The prompts. A `Prompt` has its text and output format.
        RETURNS (list[Completion]): The answers in the same order, each with a text or
            an error.
        """
        return list(self.stream(prompts))

    def stream(self, prompts: Iterable[str]) -> Iterator[Completion]:
        """Answer any number of prompts, of which a few are held at a time.

        prompts (Iterable[str]): The prompts. A `Prompt` has its text and output format.
        YIELDS (Completion): The answers in the same order, each with a text or an
            error.
        """
        requests = ((prompt, make_request(self.settings, prompt)) for prompt in prompts)
        for prompt, request, result in self._send(requests):
            yield self._make_completion(prompt, request, result)

    def complete(
        self, prompts: Iterable[TokenPrompt], server: str | None = None
    ) -> list[ParsedResponse | RemoteError]:
        """Complete prompts of token ids.

        prompts (Iterable[TokenPrompt]): The prompts.
        server (str | None): The kind of the server, "vllm" or "llama.cpp". None if it
            is unknown.
        RETURNS (list[ParsedResponse | RemoteError]): The response to each prompt, or
            the reason why there is none.
        """
        # The text of a prompt is the same object for a request and its answer, which
        # is all that `_send` needs.
        requests = (
            (prompt.ids.text, make_token_request(self.settings, prompt, server))
            for prompt in prompts
        )
        return [result for _, _, result in self._send(requests)]

    def probabilities(
        self, prompts: Iterable[str], options: Sequence[str] = ("yes", "no")
    ) -> list[YesNoProbability]:
        """Answer questions with one of two words.

        prompts (Iterable[str]): The prompts.
        options (Sequence[str]): The words, whose first letters differ.
        RETURNS (list[YesNoProbability]): The probability of the first word for each
            prompt, or its error.
        RAISES (ValueError): The options are not valid.
        """
        words = check_options(options)
        requests = ((p, make_yes_no_request(self.settings, p)) for p in prompts)
        return [
            YesNoProbability(None, result)
            if isinstance(result, RemoteError)
            else YesNoProbability(yes_no_probability(result, words))
            for _, _, result in self._send(requests)
        ]

    def _make_completion(
        self, prompt: str, request: Request, result: "_Result"
    ) -> Completion:
        if isinstance(result, RemoteError):
            return Completion(error=result)
        text = result.text
        if not isinstance(prompt, Prompt):
            # For a `Prompt`, the format's parser reports a truncated answer.
            if result.truncated and not self._has_warned_of_truncation:
                self._has_warned_of_truncation = True
                warn(Warnings.W702.format(model=self.settings.name))
            return Completion(text)
        subject = prompt.subject.text
        begin = thought_before(text, subject, prompt.layout.labels)
        thought, answer = text[:begin], text[begin:]
        if request.schema is not None:
            answer = unwrap_answer(answer, request.schema)
        # Line breaks around an answer are noise unless the text has some as well.
        if not subject.startswith("\n"):
            answer = answer.lstrip("\n")
        if not subject.endswith("\n"):
            answer = answer.rstrip("\n")
        return Completion(thought + answer)

    def _send(
        self, requests: Iterable[tuple[str, Request]]
    ) -> Iterator[tuple[str, Request, "_Result"]]:
        limit = _READ_AHEAD * self.settings.max_concurrent
        pending: deque[tuple[str, Request, Future[_Result]]] = deque()

        def take() -> tuple[str, Request, _Result]:
            prompt, request, future = pending.popleft()
            result = future.result()
            for message in self._state.fallback.take_warnings():
                warn(message)
            return prompt, request, result

        last = []
        with _Session(self._state) as session:
            for prompt, request in requests:
                pending.append((prompt, request, session.start(request)))
                while pending and (len(pending) >= limit or pending[0][2].done()):
                    yield take()
            while len(pending) > 1:
                yield take()
            if pending:
                last.append(take())
        # After the session is closed, so that a caller who takes as many answers as
        # there are prompts leaves no thread behind.
        yield from last


# The result of a request.
_Result = ParsedResponse | RemoteError


class _State:
    """The state that all calls of a client share."""

    def __init__(self, settings: RemoteSettings, clock: Clock):
        self.settings = settings
        self.clock = clock
        self.rate_limiter = RateLimiter(clock)
        self.tracker = UsageTracker(settings.prices)
        self.fallback = CapabilityFallback(settings)


class _Session:
    """The requests of one call. When it is closed, at any moment, neither threads nor
    connections are left."""

    def __init__(self, state: _State):
        self._state = state
        folder = state.settings.cache
        self._cache = None if folder is None else ResponseCache(folder)
        self._thread: _EventLoopThread | None = None
        self._sender: _Sender | None = None
        self._in_flight: dict[str, Future[_Result]] = {}
        # Writing may wait for other processes and must not block the event loop.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=THREAD_NAME)

    def __enter__(self) -> "_Session":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._thread is not None:
                assert self._sender is not None
                self._thread.close(self._sender.close())
        finally:
            # Responses that have arrived are still written.
            self._writer.shutdown()
            if self._cache is not None:
                self._cache.close()

    def start(self, request: Request) -> "Future[_Result]":
        """Send a request, or find its response in the cache."""
        # The key has all parameters, including those that the server refuses: a later
        # run has not learned of them when it looks up its requests.
        key = request_key(self._state.settings, request.body)
        if self._cache is None:
            return self._begin(request, key)
        # Before the cache: a response is in the cache before it is no longer in flight.
        first = self._in_flight.get(key)
        if first is not None:
            assert self._thread is not None
            return self._thread.start(self._share(first))
        found = self._cache.get(key)
        if found is not None and not self._lacks_schema(found):
            if "logprobs" in request.body and found.logprobs is None:
                self._state.fallback.note_missing_logprobs()
            cached: Future[_Result] = Future()
            cached.set_result(self._count_cached(found))
            return cached
        started = self._in_flight[key] = self._begin(request, key)
        started.add_done_callback(lambda _: self._in_flight.pop(key, None))
        return started

    def _lacks_schema(self, response: ParsedResponse) -> bool:
        """Whether the settings require a schema that the response was made without."""
        is_required = self._state.settings.structured is True
        return is_required and not STRUCTURE.isdisjoint(response.dropped)

    def _begin(self, request: Request, key: str) -> "Future[_Result]":
        if self._thread is None:
            self._sender = _Sender(self._state)
            self._thread = _EventLoopThread()
        return self._thread.start(self._send(request, key))

    async def _share(self, first: "Future[_Result]") -> _Result:
        """Wait for the result of an identical request in flight."""
        result = await asyncio.wrap_future(first)
        if isinstance(result, RemoteError):
            self._state.tracker.add(failures=1)
            return result
        return self._count_cached(result)

    def _count_cached(self, response: ParsedResponse) -> ParsedResponse:
        self._state.tracker.add(from_cache=1, truncated=int(response.truncated))
        return response

    async def _send(self, request: Request, key: str) -> _Result:
        assert self._sender is not None
        result = await self._sender.send(request)
        if isinstance(result, RemoteError):
            self._state.tracker.add(failures=1)
            return result
        self._state.tracker.add(truncated=int(result.truncated))
        if self._cache is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._writer, self._store, key, result)
        return result

    def _store(self, key: str, response: ParsedResponse) -> None:
        assert self._cache is not None
        try:
            self._cache.put(key, response)
        except CacheError as error:
            # The answer can be used all the same.
            self._state.fallback.add_warning(Warnings.W704.format(reason=error))


class _EventLoopThread:
    """An event loop in a thread. It works if the caller has a running event loop, as in
    a notebook, and its tasks can be cancelled at any moment."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=THREAD_NAME, daemon=True
        )
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "Future[Any]":
        """Run a coroutine in the event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self, last: Coroutine[Any, Any, Any]) -> None:
        """Cancel all tasks, run a last coroutine and end the thread."""
        self.start(_cancel_other_tasks()).result()
        self.start(last).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_other_tasks() -> None:
    current = asyncio.current_task()
    while others := [task for task in asyncio.all_tasks() if task is not current]:
        for task in others:
            task.cancel()
        # A library may swallow a cancellation that coincides with one of its own.
        await asyncio.wait(others, timeout=_CANCEL_INTERVAL)


class _Sender:
    """Sends requests, a limited number at a time, and repeats those that fail. It is
    used in one event loop."""

    def __init__(self, state: _State):
        self._state = state
        self._settings = state.settings
        self._secret = read_secret(state.settings)
        self._transport = _Transport(state.settings, self._secret)
        self._slots = asyncio.Semaphore(self._settings.max_concurrent)
        self._circuit = CircuitBreaker(state.clock, self._settings.max_concurrent)
        # The reason why no more requests are sent.
        self._fatal: RemoteError | None = None

    async def send(self, request: Request) -> _Result:
        """Send a request until it is answered or can't succeed."""
        async with self._slots:
            return self._fatal or await self._send_repeatedly(request)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def _send_repeatedly(self, request: Request) -> _Result:
        clock, rate_limiter = self._state.clock, self._state.rate_limiter
        budget = RetryBudget(clock, self._settings.max_tries)
        body, attempts = request.body, 0
        while True:
            await rate_limiter.wait()
            if self._fatal is not None:
                return self._fatal
            adapted = self._state.fallback.adapt(body)
            sent = body.get("prompt")
            if isinstance(sent, TokenIds) and adapted["prompt"] == sent.text:
                # A server that takes text reads the names of control tokens in it.
                if sent.control:
                    values = {"url": self._settings.base_url, "found": sent.control}
                    return self._fail(Failure(Errors.G852.format(**values)))
            self._state.tracker.add(requests=1, retries=int(attempts > 0))
            attempts += 1
            response, result = await self._try(adapted)
            if isinstance(result, ParsedResponse):
                self._circuit.reset(answered=True)
                return result._replace(
                    dropped=dropped_parameters(request.body, adapted)
                )
            is_rate_limit = False
            if isinstance(result, ErrorResponse):
                is_rate_limit = result.status == 429
                other = self._adapt(request, body, adapted, result)
                if other is not None:
                    body = other
                    continue
                result = classify_error(result, self._settings)
            headers = {} if response is None else response.headers
            wait = requested_wait(headers, clock.now(), is_rate_limit)
            if result.retry and wait and wait > _MAX_REQUESTED_WAIT:
                values = {"url": self._settings.base_url, "reason": result.reason}
                message = Errors.G721.format(**values, wait=wait)
                result = Failure(message, is_fatal=True)
            if not result.retry:
                return self._fail(result)
            outage = self._circuit.record_failure()
            backoff = budget.record_failure(wait, is_rate_limit, outage)
            if budget.is_exhausted:
                return self._fail_after_retries(result, attempts)
            if wait or is_rate_limit:
                rate_limiter.pause(wait or backoff)
                await rate_limiter.wait()
            if wait or not is_rate_limit:
                # Spreads the requests that a pause has held back.
                await clock.sleep(backoff)

    async def _try(
        self, body: dict[str, Any]
    ) -> "tuple[_Response | None, ParsedResponse | ErrorResponse | Failure]":
        try:
            response = await self._transport.post(body)
        except _TransportError as error:
            return None, Failure(str(error), retry=True)
        result: ParsedResponse | ErrorResponse | Failure
        if 200 <= response.status < 300:
            result = self._parse(response)
        else:
            result = parse_error(response.content, response.status)
        if isinstance(result, ErrorResponse):
            redact = self._secret.redact
            message, code = redact(result.message), redact(result.code)
            result = ErrorResponse(message, code, result.status)
        elif pause := exhausted_wait(response.headers, self._state.clock.now()):
            self._state.rate_limiter.pause(min(pause, _MAX_PAUSE))
        return response, result

    def _parse(self, response: "_Response") -> ParsedResponse | ErrorResponse | Failure:
        redact = self._secret.redact
        try:
            content_type = response.headers.get("content-type", "")
            result = parse_response(response.content, content_type)
        except MalformedResponseError as error:
            return Failure(redact(str(error)), retry=True)
        except EmptyAnswerError as error:
            # Thoughts are paid for as well.
            self._state.tracker.add_tokens(*error.tokens)
            values = {"url": self._settings.base_url, "model": self._settings.name}
            if error.finish_reason == "content_filter":
                return Failure(Errors.G720.format(**values))
            said, finish = redact(error.explanation), redact(error.finish_reason)
            return Failure(Errors.G719.format(**values, finish=finish, said=said))
        if isinstance(result, ParsedResponse):
            self._state.tracker.add_tokens(
                result.prompt_tokens, result.completion_tokens
            )
        return result

    def _adapt(
        self,
        request: Request,
        body: dict[str, Any],
        sent: dict[str, Any],
        error: ErrorResponse,
    ) -> dict[str, Any] | None:
        """The body to send after an error, or None if no other body may succeed."""
        if error.status not in (400, 422) and not is_unsupported(error):
            return None
        self._state.fallback.learn(sent, error)
        if self._state.fallback.adapt(body) != sent:
            return body
        if not (request.has_estimated_limit and "max_tokens" in body):
            return None
        if not is_too_long(error):
            return None
        # The prompt may fit, though not with all tokens that the answer may have.
        if self._settings.call == "chat":
            return {key: body[key] for key in body if key != "max_tokens"}
        # Most servers limit a completion to 16 tokens by default.
        limit = body["max_tokens"] // 2
        return {**body, "max_tokens": limit} if limit >= _MIN_TOKEN_LIMIT else None

    def _fail(self, failure: Failure) -> RemoteError:
        error = RemoteError(failure.reason)
        is_proven = failure.unless_proven and self._circuit.has_answered
        if failure.is_fatal and not is_proven:
            self._fatal = error
        self._circuit.reset(answered=False)
        return error

    def _fail_after_retries(self, failure: Failure, attempts: int) -> RemoteError:
        values = {"url": self._settings.base_url, "reason": failure.reason}
        self._circuit.failed_prompts += 1
        if self._circuit.is_open:
            count = self._circuit.failed_prompts
            self._fatal = RemoteError(Errors.G718.format(**values, count=count))
        return RemoteError(Errors.G717.format(**values, tries=attempts))


class _Response(NamedTuple):
    """A complete response of any status. Names of headers may be in any case."""

    status: int
    headers: Any
    content: bytes


class _TransportError(Exception):
    """There is no complete response. The message gives the reason, without any key."""


class _Transport:
    """Sends requests with the openai SDK. It is used in one event loop.

    The SDK is used for connections and errors only. Its retries are disabled. Responses
    are not parsed by it, since many servers deviate from OpenAI's types.
    """

    def __init__(self, settings: RemoteSettings, secret: Secret):
        try:
            import openai
        except ImportError:
            raise ImportError(Errors.G707) from None

        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if secret.value:
            headers["Authorization"] = f"Bearer {secret.value}"

        class Client(openai.AsyncOpenAI):
            # The SDK would add headers from the environment (OPENAI_ORG_ID,
            # OPENAI_PROJECT_ID, OPENAI_CUSTOM_HEADERS) and headers about the platform.
            @property
            def default_headers(self) -> dict[str, str | openai.Omit]:
                return dict(headers)

        client = Client(
            # Without a key, the SDK would read one from the environment.
            api_key=secret.value or "none",
            base_url=settings.base_url,
            timeout=settings.timeout,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                # A redirect may lead to another server, which must not get the prompt.
                follow_redirects=False,
                event_hooks={"response": [self._raise_for_status]},
            ),
        )
        # Otherwise the SDK starts threads to detect the platform, for a header that is
        # not sent. They would outlive the event loop.
        client._platform = "Unknown"
        calls: dict[str, Any] = {
            "chat": client.chat.completions,
            "completion": client.completions,
        }
        self._openai = openai
        self._settings = settings
        self._secret = secret
        self._client = client
        self._create = calls[settings.call].with_streaming_response.create
        self._extra_headers = {} if secret.value else {"Authorization": openai.Omit()}

    async def post(self, body: dict[str, Any]) -> _Response:
        """Send a request body. Raises a `_TransportError` if there is no complete
        response within the time limit."""
        openai, timeout = self._openai, self._settings.timeout
        try:
            # The SDK limits the time of each read, which a server that sends a byte now
            # and then never exceeds.
            return await asyncio.wait_for(self._post(body), timeout)
        except Exception as error:
            # Nothing that goes wrong with one request may end the others.
            cause: BaseException = error
            if isinstance(error, openai.APIConnectionError) and error.__cause__:
                cause = error.__cause__
            if isinstance(cause, openai.APIStatusError):
                content = cause.body if isinstance(cause.body, bytes) else b""
                return _Response(cause.status_code, cause.response.headers, content)
            if isinstance(error, (asyncio.TimeoutError, openai.APITimeoutError)):
                reason = f"no complete response within {timeout:g} seconds"
            elif isinstance(cause, _TransportError):
                reason = str(cause)
            else:
                text = self._secret.redact(str(cause) or "connection cut")
                reason = f"{type(cause).__name__}: {text}"
        # Outside of the handler: the SDK's errors hold the request with the key.
        raise _TransportError(reason)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _post(self, body: dict[str, Any]) -> _Response:
        # The SDK can't encode lone surrogates.
        body = json.loads(valid_unicode(json.dumps(body, ensure_ascii=False)))
        required = {key: body[key] for key in _REQUIRED[self._settings.call]}
        async with self._create(
            **required, extra_body=body, extra_headers=self._extra_headers
        ) as response:
            content = await _read(response.iter_bytes())
            return _Response(response.status_code, response.headers, content)

    async def _raise_for_status(self, response: Any) -> None:
        """Raise the SDK's error for a status other than success. The SDK itself would
        read the body of an error without a size limit."""
        if not response.is_success:
            content = await _read(response.aiter_bytes())
            raise self._openai.APIStatusError("", response=response, body=content)


async def _read(parts: AsyncIterator[bytes]) -> bytes:
    content = bytearray()
    async for part in parts:
        content += part
        if len(content) > MAX_RESPONSE_BYTES:
            raise _TransportError(
                f"the response has more than {MAX_RESPONSE_BYTES} bytes"
            )
    return bytes(content)
