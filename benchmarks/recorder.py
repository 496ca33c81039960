"""What passes through a decoder."""

import time
from collections.abc import Sequence

from spacy_genner.decoding.batcher import DecodingResult, DecodingTask
from spacy_genner.decoding.decoder import StepDecoder
from spacy_genner.decoding.engine import Engine


class Recorder:
    """A decoder that keeps what it was given and what came of it.

    decoder (StepDecoder): Does the work.
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
