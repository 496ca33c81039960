"""The metrics of a server, in the format of Prometheus."""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from .batcher import RequestBatcher
from .models import Record

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one server. Texts and tokens of clients are never in them.

    content_type (str): The media type of `render`.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        # Two servers in a process, as in tests, must not share a registry.
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._requests = Counter(
            "genner_requests",
            "Requests by path and HTTP status.",
            ["path", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "genner_request_seconds",
            "Seconds from the arrival of a request to its response.",
            ["path"],
            buckets=SECONDS,
            registry=registry,
        )
        self._active = Gauge(
            "genner_active_requests", "Requests in progress.", registry=registry
        )
        self._errors = Counter(
            "genner_errors",
            "Responses with an error, by its code.",
            ["code"],
            registry=registry,
        )
        self._texts = Counter(
            "genner_texts",
            "Annotated texts by status: ok, windowed, repaired or failed.",
            ["model", "status"],
            registry=registry,
        )
        self._characters = Counter(
            "genner_characters",
            "Characters of the annotated texts.",
            ["model"],
            registry=registry,
        )
        self._spans = Counter(
            "genner_spans",
            "Spans found, before a request selects some of them.",
            ["model", "label"],
            registry=registry,
        )
        self._dropped = Counter(
            "genner_dropped_texts",
            "Queued texts that were dropped because the time of their request was "
            "over, or its client had gone.",
            ["model"],
            registry=registry,
        )
        self._batch_texts = Histogram(
            "genner_batch_texts",
            "Texts in a batch.",
            ["model"],
            buckets=TEXTS,
            registry=registry,
        )
        self._batch_seconds = Histogram(
            "genner_batch_seconds",
            "Seconds of a batch.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self._queued = Gauge(
            "genner_queued_texts", "Texts that wait.", ["model"], registry=registry
        )
        self._running = Gauge(
            "genner_running_texts",
            "Texts in the present batch.",
            ["model"],
            registry=registry,
        )

    def watch(self, model: str, batcher: RequestBatcher[Record]) -> None:
        """Report the queue of a model.

        model (str): The name of the model.
        batcher (RequestBatcher): Its batcher.
        """
        self._queued.labels(model).set_function(lambda: batcher.queued)
        self._running.labels(model).set_function(lambda: batcher.running)

    def watch_requests(self, count: Callable[[], int]) -> None:
        """Report the number of requests in progress.

        count (Callable[[], int]): Returns the number.
        """
        self._active.set_function(count)

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count a response.

        path (str): The path of its route.
        status (int): Its HTTP status.
        seconds (float): Seconds since the request arrived.
        """
        self._requests.labels(path, str(status)).inc()
        self._request_seconds.labels(path).observe(seconds)

    def count_error(self, code: str) -> None:
        """Count an error.

        code (str): Its code.
        """
        self._errors.labels(code).inc()

    def count_batch(self, model: str, size: int, seconds: float) -> None:
        """Count a batch.

        model (str): The name of the model.
        size (int): The number of its texts.
        seconds (float): Its seconds.
        """
        self._batch_texts.labels(model).observe(size)
        self._batch_seconds.labels(model).observe(seconds)

    def count_record(self, model: str, record: Record) -> None:
        """Count an annotated text and its spans.

        model (str): The name of the model.
        record (Record): The record of the text.
        """
        self._texts.labels(model, record["status"]).inc()
        self._characters.labels(model).inc(len(record["text"]))
        for span in record["spans"]:
            self._spans.labels(model, span["label"]).inc()

    def count_dropped(self, model: str, texts: int) -> None:
        """Count texts that were dropped from the queue.

        model (str): The name of the model.
        texts (int): The number of texts.
        """
        if texts:
            self._dropped.labels(model).inc(texts)

    def render(self) -> bytes:
        """RETURNS (bytes): All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
