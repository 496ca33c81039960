"""A decoder that records its tasks and results."""

import time
from collections.abc import Sequence

from spacy_genner.decoding.batcher import DecodingResult, DecodingTask
from spacy_genner.decoding.decoder import StepDecoder
from spacy_genner.decoding.engine import Engine


class Recorder:
    """Wraps a decoder, and records the tasks, results and time of its calls.

    decoder (StepDecoder): The decoder to wrap.

    calls (list[tuple[Engine, list[DecodingTask]]]): The arguments of each call.
    results (list[DecodingResult]): The results of all calls.
    seconds (float): The time of all calls.
    """

    def __init__(self, decoder: StepDecoder):
        self.decoder = decoder
        self.calls: list[tuple[Engine, list[DecodingTask]]] = []
        self.results: list[DecodingResult] = []
        self.seconds = 0.0

    def decode(
        self, engine: Engine, tasks: Sequence[DecodingTask]
    ) -> list[DecodingResult]:
        started = time.perf_counter()
        results = self.decoder.decode(engine, tasks)
        self.seconds += time.perf_counter() - started
        self.calls.append((engine, list(tasks)))
        self.results += results
        return results
