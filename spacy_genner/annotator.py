"""Docs to spans: windows, prompts, decoding, and what comes back put together."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, Span

from .cutting import WindowCutter
from .grammar import Source
from .isolation import isolated
from .outcomes import REPAIRED, WINDOWED, Outcome, TokenSpan, failed, uncross
from .prompts import TaskEncoder
from .windows import Window

if TYPE_CHECKING:
    from .decoding.decoder import StepDecoder
    from .decoding.rows import Engine
    from .decoding.tasks import Decoded, Task


class Annotator:
    """Finds the spans of Docs.

    engine (Engine): The model behind the shared prefix.
    encoder (TaskEncoder): Makes prompts and grammars.
    decoder (StepDecoder): Decodes.
    cutter (WindowCutter): Cuts the documents.
    """

    def __init__(
        self,
        engine: "Engine",
        encoder: TaskEncoder,
        decoder: "StepDecoder",
        cutter: WindowCutter,
    ):
        self.engine = engine
        self.encoder = encoder
        self.decoder = decoder
        self.cutter = cutter

    def annotate(self, docs: Sequence[Doc]) -> list[Outcome]:
        """Find the spans of some documents, decoded together.

        Where that fails, each is tried alone, so that one document's failure is its
        own.

        docs (Sequence[Doc]): The documents. They are not changed.
        RETURNS (List[Outcome]): One outcome for each.
        """
        return isolated(self._annotate, docs, failed)

    def _annotate(self, docs: Sequence[Doc]) -> list[Outcome]:
        parts: list[tuple[int, Window, Source]] = []
        outcomes = [Outcome() for _ in docs]
        cut = set()
        for index, doc in enumerate(docs):
            for window in self.cutter.windows(doc):
                if window.cut:
                    outcomes[index].status = WINDOWED
                    cut.add(index)
                if self.cutter.holds(window):
                    parts.append((index, window, self.cutter.source(doc, window)))
                else:
                    outcomes[index].issues.append(self._too_long(doc, window))
        parts = [part for part in parts if len(part[2])]
        tasks = [
            self._task(docs[index], window, source) for index, window, source in parts
        ]
        decoded = self.decoder.decode(self.engine, tasks)
        for (index, window, source), result in zip(parts, decoded, strict=True):
            found, doubts = self._spans(window, source, result)
            outcomes[index].spans += found
            outcomes[index].issues += doubts
        places = {label: place for place, label in enumerate(self.encoder.labels)}
        for index, outcome in enumerate(outcomes):
            outcome.spans.sort(key=lambda s: (s.start, -s.end, places[s.label]))
            if index in cut and not self.encoder.format.allows_crossing:
                uncross(outcome)
            if outcome.issues:
                outcome.status = REPAIRED
        return outcomes

    def _too_long(self, doc: Doc, window: Window) -> dict[str, Any]:
        """The issue of a token that is not run."""
        token = doc[window.start]
        return {
            "code": "too_long",
            "message": (
                f"the token {token.text[:20]!r}... has {window.size} model tokens, at "
                f"most {self.cutter.longest} can be run: nothing was looked for in it"
            ),
            "start": window.start,
            "end": window.end,
            "within": "tokens",
        }

    def _task(self, doc: Doc, window: Window, source: Source) -> "Task":
        from .decoding.tasks import Task

        prompt = self.encoder.prompt(source)
        # The reference has none, and a decoder of one's own need not have one.
        drafter = getattr(self.decoder, "drafter", None)
        found = None if drafter is None else drafter.expected(doc)
        expected = None
        if found is not None:
            expected = tuple(self._in_units(found, window, source))
        ends = self.encoder.unit_ends(source, prompt)
        return Task(self.encoder.grammar(source), prompt, ends, expected)

    def _in_units(
        self, spans: Iterable[Span], window: Window, source: Source
    ) -> Iterator[tuple[int, int, int]]:
        """The spans that lie in a window and have a known label."""
        labels = self.encoder.labels
        for span in spans:
            first, after = span.start - window.start, span.end - window.start
            if span.label_ in labels and 0 <= first and span.end <= window.end:
                units = source.units_of(first, after)
                if units is not None:
                    yield (*units, labels.index(span.label_))

    def _spans(
        self, window: Window, source: Source, decoded: "Decoded"
    ) -> tuple[list[TokenSpan], list[dict[str, Any]]]:
        """The spans that a window decides of, and what is in doubt about them."""
        spans, doubts = [], []
        for span in decoded.spans:
            start = window.start + source.tokens[span.start]
            end = window.start + source.tokens[span.end - 1] + 1
            if window.decides(start, end):
                label = self.encoder.labels[span.label]
                spans.append(TokenSpan(start, end, label, span.score))
                if span.doubtful:
                    doubts.append(
                        {
                            "code": "ambiguous_place",
                            "message": (
                                f"the text of {label} over tokens {start} to {end} "
                                "stands at more places than the output has entries "
                                "for it"
                            ),
                            "start": start,
                            "end": end,
                            "within": "tokens",
                        }
                    )
        return spans, doubts
