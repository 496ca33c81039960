"""One call of a client: its event loop, connections and cache, and their end."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ...errors import Warnings
from .bodies import Request
from .cache import CacheError, ResponseCache, request_key
from .connection import Connection
from .replies import Reply
from .secret import read_secret
from .sender import Outcome, Sender, Shared

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


class Run:
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
        self._under_way: dict[str, Future[Outcome]] = {}
        # Writes wait for other processes, and must not hold up the loop.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=THREAD_NAME)

    def __enter__(self) -> "Run":
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

    def start(self, request: Request) -> "Outcome | Future[Outcome]":
        """Ask a question, or find its answer in the cache.

        request (Request): The question.
        RETURNS (Union[Outcome, Future[Outcome]]): What became of it.
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

    def _lacks_schema(self, kept: Reply) -> bool:
        """Whether an answer was made without the schema that the settings insist on."""
        required = self._shared.settings.structured is True
        return required and "response_format" in kept.conceded

    def _begin(self, request: Request, key: str) -> "Future[Outcome]":
        if self._thread is None:
            secret = read_secret(self._shared.settings)
            self._connection = Connection(self._shared.settings, secret)
            self._sender = Sender(self._shared, secret, self._connection)
            self._thread = LoopThread()
        return self._thread.start(self._send(request, key))

    async def _shared_with(self, first: "Future[Outcome]") -> Outcome:
        """What becomes of the same question, which is under way."""
        outcome = await asyncio.wrap_future(first)
        if outcome.reply is None:
            self._shared.meter.add(failures=1)
            return outcome
        return self._kept(outcome.reply)

    def _kept(self, reply: Reply) -> Outcome:
        self._shared.meter.add(from_cache=1, truncated=int(reply.truncated))
        return Outcome(reply)

    async def _send(self, request: Request, key: str) -> Outcome:
        assert self._sender is not None
        outcome = await self._sender.send(request)
        if outcome.reply is not None:
            self._shared.meter.add(truncated=int(outcome.reply.truncated))
            if self._cache is not None:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._writer, self._keep, key, outcome)
        return outcome

    def _keep(self, key: str, outcome: Outcome) -> None:
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
