"""Docs to spans: windows, prompts, decoding, and what comes back put together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from spacy.tokens import Doc

from .errors import Errors
from .grammar import Source
from .prompts import TaskEncoder
from .windows import Window, WindowSettings, cut

if TYPE_CHECKING:
    from .decoding.decoder import StepDecoder
    from .decoding.rows import Engine
    from .decoding.tasks import Decoded

OK, WINDOWED, REPAIRED, FAILED = "ok", "windowed", "repaired", "failed"


class TokenSpan(NamedTuple):
    """A span of spaCy tokens (end exclusive) with its label and probability."""

    start: int
    end: int
    label: str
    score: float


@dataclass
class Outcome:
    """What was found in one document.

    spans (List[TokenSpan]): The spans, in the order of the contract: by start, then
        the longer first, then the label's place.
    status (str): "ok", "windowed", "repaired" or "failed".
    issues (List[Dict[str, Any]]): What was repaired or went wrong.
    error (Optional[Exception]): Why the document failed.
    """

    spans: list[TokenSpan] = field(default_factory=list)
    status: str = OK
    issues: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None


class WindowCutter:
    """Cuts Docs into windows: the one way for training and prediction.

    settings (WindowSettings): How.
    encoder (TaskEncoder): Knows how long a prompt is, and the model's limit.
    """

    def __init__(self, settings: WindowSettings, encoder: TaskEncoder):
        self.settings = settings
        self.encoder = encoder
        self.max_tokens = settings.max_tokens
        limit = encoder.limit
        if limit is not None:
            # The output is the text once more, with room for as much in marks.
            room = limit - len(encoder.prefix_ids) - encoder.prompt_length(0)
            room //= encoder.readings + 2
            if room < 1:
                raise ValueError(
                    Errors.G405.format(limit=limit, prefix=len(encoder.prefix_ids))
                )
            self.max_tokens = min(self.max_tokens, room)
        self.overlap = min(settings.overlap, self.max_tokens - 1)

    def windows(self, doc: Doc) -> list[Window]:
        """The windows of a document.

        doc (Doc): The document.
        RETURNS (List[Window]): The windows; none where it has only white space.
        RAISES (ValueError): Sentences are wanted and there are none.
        """
        encode = self.encoder.encode
        sizes = []
        before = ""
        for token in doc:
            sizes.append(len(encode(before + token.text)) if token.text else 0)
            before = token.whitespace_
        blank = [token.is_space or not token.text for token in doc]
        return cut(sizes, blank, self._units(doc), self.max_tokens, self.overlap)

    def source(self, doc: Doc, window: Window) -> Source:
        """The text of a window.

        doc (Doc): The document.
        window (Window): One of its windows.
        RETURNS (Source): Its units.
        """
        tokens = doc[window.start : window.end]
        return self.encoder.source(
            [token.text for token in tokens],
            [bool(token.whitespace_) for token in tokens],
        )

    def _units(self, doc: Doc) -> list[tuple[int, int]]:
        unit = self.settings.unit
        if unit != "doc" and doc.has_annotation("SENT_START"):
            return [(sent.start, sent.end) for sent in doc.sents]
        if unit == "sentence" and len(doc) > 1:
            raise ValueError(Errors.G406.format(text=doc.text[:40]))
        return [(0, len(doc))]


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
        try:
            return self._annotate(docs)
        except Exception as error:
            if len(docs) == 1:
                return [_failed(docs[0], error)]
            return [self.annotate([doc])[0] for doc in docs]

    def _annotate(self, docs: Sequence[Doc]) -> list[Outcome]:
        from .decoding.tasks import Task

        parts: list[tuple[int, Window, Source]] = []
        outcomes = [Outcome() for _ in docs]
        for index, doc in enumerate(docs):
            for window in self.cutter.windows(doc):
                parts.append((index, window, self.cutter.source(doc, window)))
                if window.cut:
                    outcomes[index].status = WINDOWED
        parts = [part for part in parts if len(part[2])]
        tasks = [
            Task(self.encoder.grammar(source), self.encoder.prompt(source))
            for _, _, source in parts
        ]
        decoded = self.decoder.decode(self.engine, tasks)
        for (index, window, source), result in zip(parts, decoded, strict=True):
            found, doubts = self._spans(window, source, result)
            outcomes[index].spans += found
            if doubts:
                outcomes[index].status = REPAIRED
                outcomes[index].issues += doubts
        places = {label: place for place, label in enumerate(self.encoder.labels)}
        for outcome in outcomes:
            outcome.spans.sort(key=lambda s: (s.start, -s.end, places[s.label]))
            if outcome.status == WINDOWED and not self.encoder.format.allows_crossing:
                _uncross(outcome)
        return outcomes

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
                        }
                    )
        return spans, doubts


def _failed(doc: Doc, error: Exception) -> Outcome:
    if isinstance(error, KeyError):
        # spaCy takes a KeyError for a component that is not initialized.
        cause = error
        error = ValueError(Errors.G424.format(text=doc.text[:40], reason=repr(cause)))
        error.__cause__ = cause
    issue = {"code": "failed", "message": str(error)}
    return Outcome([], FAILED, [issue], error)


def _uncross(outcome: Outcome) -> None:
    """Take out spans that cross one from a neighbouring window and are less sure."""
    kept: list[TokenSpan] = []
    for span in sorted(outcome.spans, key=lambda s: -s.score):
        crossed = next((other for other in kept if _cross(span, other)), None)
        if crossed is None:
            kept.append(span)
            continue
        outcome.status = REPAIRED
        outcome.issues.append(
            {
                "code": "crossing",
                "message": (
                    f"{span.label} over tokens {span.start} to {span.end} crosses "
                    f"{crossed.label} over {crossed.start} to {crossed.end}, which "
                    f"another window found with a higher score"
                ),
                "start": span.start,
                "end": span.end,
            }
        )
    outcome.spans = [span for span in outcome.spans if span in kept]


def _cross(one: TokenSpan, other: TokenSpan) -> bool:
    first, second = sorted((one, other), key=lambda span: (span.start, -span.end))
    return first.start < second.start < first.end < second.end
