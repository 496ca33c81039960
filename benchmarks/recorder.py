"""What passes through a decoder."""

import time
from collections.abc import Sequence

from spacy_genner.decoding.decoder import StepDecoder
from spacy_genner.decoding.rows import Engine
from spacy_genner.decoding.tasks import Decoded, Task


class Recorder:
    """A decoder that keeps what it was given and what came of it.

    decoder (StepDecoder): Does the work.
    """

    def __init__(self, decoder: StepDecoder):
        self.decoder = decoder
        self.calls: list[tuple[Engine, list[Task]]] = []
        self.results: list[Decoded] = []
        self.seconds = 0.0

    def decode(self, engine: Engine, tasks: Sequence[Task]) -> list[Decoded]:
        started = time.perf_counter()
        results = self.decoder.decode(engine, tasks)
        self.seconds += time.perf_counter() - started
        self.calls.append((engine, list(tasks)))
        self.results += results
        return results
