"""Batches across requests: the texts of concurrent requests run through a model
together.

A `RequestBatcher` has a queue and one thread. Requests add their texts to the queue.
The thread takes a batch as soon as it is full, or after a few milliseconds, and gives
each result to its request, at the place of its text. Requests take turns, text by text,
so that a request with one text does not wait for all the texts of a large one.
"""

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

from ..errors import Errors

Result = TypeVar("Result")

LOADING, READY, STOPPED, FAILED = "loading", "ready", "stopped", "failed"
# The limits of the time after which a client is asked to send a request again.
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 1, 60
# The same for a server that starts or stops.
RETRY_SECONDS = 5
STOPS = "it stops"
# The weight of the newest batch in the mean time of a text.
_RATE = 0.2


class QueueFull(ValueError):
    """The queue has no place for all texts of a request.

    message (str): A coded message.
    retry_after (int): The seconds until there may be a place.
    """

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.retry_after = retry_after


class NotAccepting(ValueError):
    """The batcher accepts no texts: it is not ready yet, or it stops.

    reason (str): The reason.
    """

    def __init__(self, reason: str):
        super().__init__(Errors.G815.format(reason=reason, seconds=RETRY_SECONDS))
        self.retry_after = RETRY_SECONDS


class PendingRequest(Generic[Result]):
    """The texts of a request, and their results so far.

    texts (Sequence[str]): The texts.
    deadline (float): The time (`time.monotonic`) after which no text starts.

    future (Future[list[Result]]): The results, in the order of the texts.
    """

    def __init__(self, texts: Sequence[str], deadline: float):
        self.texts = texts
        self.deadline = deadline
        self.future: Future[list[Result]] = Future()
        # The numbers of texts that batches have taken, and that were dropped.
        self.started = 0
        self.dropped = 0
        self._results: list[Any] = [None] * len(texts)
        self._missing = len(texts)
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """RETURNS (int): The number of texts that no batch has taken."""
        return len(self.texts) - self.started

    def set_result(self, index: int, result: Result) -> None:
        """Set the result of a text. The last one completes the future.

        index (int): The index of the text.
        result (Result): Its result.
        """
        self._results[index] = result
        self._missing -= 1
        if not self._missing:
            self.complete()

    def complete(self) -> None:
        """Set the results, unless nobody waits for them any longer."""
        with self._lock:
            if self._can_finish():
                self.future.set_result(self._results)

    def fail(self, error: BaseException) -> None:
        """Set an error as the result of the request.

        error (BaseException): The error.
        """
        with self._lock:
            if self._can_finish():
                self.future.set_exception(error)

    def _can_finish(self) -> bool:
        return not self.future.done() and self.future.set_running_or_notify_cancel()


class RequestBatcher(Generic[Result]):
    """Runs the texts of concurrent requests together, in one thread.

    work (Callable[[list[str]], Sequence[Result]]): Returns a result for each text.
    name (str): The name of the thread.
    batch_size (int): The maximum number of texts in a batch.
    max_wait (float): How long the first text of a batch waits for others, in seconds.
    queue_size (int): The maximum number of texts that wait.
    prepare (Callable[[], Any]): Called once in the thread, before the first batch.
    on_batch (Callable[[int, float], Any]): Called after each batch with the number of
        its texts and its seconds.

    state (str): "loading", "ready", "stopped" or "failed".
    failure (Exception | None): The error of `prepare`.
    """

    def __init__(
        self,
        work: Callable[[list[str]], Sequence[Result]],
        *,
        name: str = "batcher",
        batch_size: int = 32,
        max_wait: float = 0.005,
        queue_size: int = 1024,
        prepare: Callable[[], Any] = lambda: None,
        on_batch: Callable[[int, float], Any] = lambda size, seconds: None,
    ):
        self.batch_size = batch_size
        self.max_wait = max_wait
        self.queue_size = queue_size
        self.state = LOADING
        self.failure: Exception | None = None
        self._work = work
        self._prepare = prepare
        self._on_batch = on_batch
        self._turns: deque[PendingRequest[Result]] = deque()
        self._queued = 0
        # When the queue was last empty and got a text.
        self._since = 0.0
        self._running: tuple[PendingRequest[Result], ...] = ()
        self._seconds_per_text = 0.0
        self._is_closed = False
        self._changed = threading.Condition()
        # thinc keeps the chosen GPU in the context, which a thread does not inherit.
        run = partial(contextvars.copy_context().run, self._run)
        # A batch that hangs must not keep the process alive.
        self._thread = threading.Thread(target=run, name=name, daemon=True)

    @property
    def queued(self) -> int:
        """RETURNS (int): The number of texts that wait."""
        return self._queued

    @property
    def running(self) -> int:
        """RETURNS (int): The number of texts in the present batch."""
        return len(self._running)

    @property
    def is_alive(self) -> bool:
        """RETURNS (bool): Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, texts: Sequence[str], deadline: float) -> PendingRequest[Result]:
        """Add the texts of a request to the queue: all of them, or none.

        texts (Sequence[str]): The texts.
        deadline (float): The time (`time.monotonic`) after which no text starts.
        RETURNS (PendingRequest): The request, whose future has the results.
        RAISES (QueueFull): There is no place for all of the texts.
        RAISES (NotAccepting): The model is not ready, or the server stops.
        """
        request = PendingRequest[Result](texts, deadline)
        with self._changed:
            if self._is_closed or self.state in (STOPPED, FAILED):
                raise NotAccepting(STOPS)
            if self.state == LOADING:
                raise NotAccepting("the model is still being loaded")
            if self._queued + len(texts) > self.queue_size:
                raise self._queue_full(len(texts))
            if not texts:
                request.complete()
                return request
            if not self._queued:
                self._since = time.monotonic()
            self._turns.append(request)
            self._queued += len(texts)
            self._changed.notify_all()
        return request

    def cancel(self, request: PendingRequest[Result]) -> int:
        """Remove the texts of a request from the queue. Texts that a batch has taken
        are finished, and their results are discarded.

        request (PendingRequest): The request.
        RETURNS (int): The number of texts that were removed, now or earlier.
        """
        with self._changed:
            request.future.cancel()
            if request in self._turns:
                self._turns.remove(request)
                self._drop(request)
                self._changed.notify_all()
            return request.dropped

    def _drop(self, request: PendingRequest[Result]) -> None:
        request.dropped = request.waiting
        self._queued -= request.waiting

    def close(self) -> None:
        """Accept no further texts. The thread ends after the queued ones."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abort(self) -> int:
        """Accept no further texts, and fail the requests that are not finished.

        RETURNS (int): The number of requests that failed.
        """
        with self._changed:
            self._is_closed = True
            unfinished = [*self._turns, *self._running]
            self._turns.clear()
            self._queued = 0
            self._changed.notify_all()
        open_requests = {
            id(request): request for request in unfinished if not request.future.done()
        }
        for request in open_requests.values():
            request.fail(NotAccepting(STOPS))
        return len(open_requests)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end of the thread.

        timeout (float | None): The maximum number of seconds.
        RETURNS (bool): Whether the thread has ended.
        """
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def retry_after(self, texts: int = 0) -> int:
        """Estimate the time in which the queue becomes shorter.

        texts (int): The number of texts that need a place.
        RETURNS (int): Whole seconds.
        """
        surplus = self._queued + texts - self.queue_size + self.running
        seconds = max(surplus, 1) * self._seconds_per_text
        return min(max(int(seconds + 1), MIN_RETRY_SECONDS), MAX_RETRY_SECONDS)

    def _queue_full(self, texts: int) -> QueueFull:
        seconds = self.retry_after(texts)
        message = Errors.G813.format(
            queued=self._queued, limit=self.queue_size, texts=texts, seconds=seconds
        )
        return QueueFull(message, seconds)

    def _run(self) -> None:
        try:
            self._prepare()
        except Exception as error:
            self.failure = error
            self.state = FAILED
            return
        # `submit` refuses texts in any other state, so none is there yet.
        self.state = READY
        while True:
            batch = self._next_batch()
            if not batch:
                break
            self._run_batch(batch)
        self.state = STOPPED

    def _next_batch(self) -> list[tuple[PendingRequest[Result], int]]:
        """Wait for a batch. It is empty if the batcher is closed."""
        with self._changed:
            while True:
                while not self._queued and not self._is_closed:
                    self._changed.wait()
                until = self._since + self.max_wait
                while 0 < self._queued < self.batch_size and not self._is_closed:
                    left = until - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                batch = self._take()
                self._running = tuple(request for request, _ in batch)
                if batch or (self._is_closed and not self._queued):
                    return batch

    def _take(self) -> list[tuple[PendingRequest[Result], int]]:
        batch: list[tuple[PendingRequest[Result], int]] = []
        now = time.monotonic()
        while self._turns and len(batch) < self.batch_size:
            request = self._turns.popleft()
            if request.deadline <= now:
                # Whoever waits for the request has the same deadline.
                self._drop(request)
                continue
            batch.append((request, request.started))
            request.started += 1
            self._queued -= 1
            if request.waiting:
                self._turns.append(request)
        return batch

    def _run_batch(self, batch: list[tuple[PendingRequest[Result], int]]) -> None:
        started = time.perf_counter()
        try:
            texts = [request.texts[index] for request, index in batch]
            results = self._work(texts)
            for (request, index), result in zip(batch, results, strict=True):
                request.set_result(index, result)
        except Exception as error:
            for request, _ in batch:
                request.fail(error)
                self.cancel(request)
        seconds = time.perf_counter() - started
        mean = seconds / len(batch)
        earlier = self._seconds_per_text or mean
        self._seconds_per_text = earlier + _RATE * (mean - earlier)
        self._running = ()
        self._on_batch(len(batch), seconds)
