"""Reference spans as training targets, with counts of those that cannot be used."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spacy.tokens import Doc, Span
from spacy.training import Example

from ..corpora.docbin import unaligned_spans
from ..corpora.labels import check_labels
from ..errors import Errors, Warnings, warn
from ..formats import CharSpan, crossings, drop_crossing
from ..prompts import TaskEncoder
from ..prompts.windows import WindowCutter

if TYPE_CHECKING:
    from .data import TrainingSequence


LISTED = 5
AROUND = 20
# Why training goes without a span, by kind of loss.
REASONS = {
    "off_grid": "fit no token boundary of the pipeline's tokenizer",
    "cut": "lie across a cut of a window",
    "crossing": "cross another span",
    "unsayable": "can't be said in the format",
}


@dataclass
class TargetCounts:
    """What the reference had, and what training can't use of it.

    examples (int): Examples seen.
    spans (int): Reference spans.
    off_grid (int): Those that no token boundary of the pipeline's tokenizer fits.
    cut (int): Those that lie across a window's cut.
    crossing (int): Those dropped because they cross another one.
    unsayable (int): Those dropped because the format can't say them.
    listed (Dict[str, List[str]]): The first few of each kind.
    """

    examples: int = 0
    spans: int = 0
    off_grid: int = 0
    cut: int = 0
    crossing: int = 0
    unsayable: int = 0
    listed: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, span: str) -> None:
        """Count a span that is lost.

        kind (str): One of `REASONS`.
        span (str): The span, for the list.
        """
        setattr(self, kind, getattr(self, kind) + 1)
        texts = self.listed.setdefault(kind, [])
        if len(texts) < LISTED:
            texts.append(span)

    @property
    def lost(self) -> dict[str, int]:
        """The kinds of loss that occurred, with their counts."""
        return {kind: getattr(self, kind) for kind in REASONS if getattr(self, kind)}


class TargetBuilder:
    """Turns examples into training rows. The first span of each kind that training
    has to go without is warned of, all are counted.

    encoder (TaskEncoder): Makes prompts, grammars and targets.
    cutter (WindowCutter): Cuts documents into windows, as prediction does.
    spans_key (str): The group that holds the reference spans.
    crossing (str): "refuse" or "drop" what brackets can't say.
    end_id (Optional[int]): The id that ends an output.
    sentences_by (Optional[str]): The component that sets sentences when documents are
        annotated, of which examples without sentences have not seen anything.
    """

    def __init__(
        self,
        encoder: TaskEncoder,
        cutter: WindowCutter,
        spans_key: str,
        crossing: str,
        end_id: int | None,
        sentences_by: str | None = None,
    ):
        self.cutter = cutter
        self.encoder = encoder
        self.spans_key = spans_key
        self.crossing = crossing
        self.end_id = end_id
        self.sentences_by = sentences_by
        self.counts = TargetCounts()
        self._places = {label: i for i, label in enumerate(self.encoder.labels)}

    def rows(self, examples: Sequence[Example]) -> list["TrainingSequence"]:
        """The training rows of some examples, one for each window.

        examples (Sequence[Example]): The examples.
        RETURNS (List[TrainingSequence]): The rows.
        RAISES (ValueError): A label is not among the component's; or spans cross, or
            can't be said, and are to be refused.
        """
        from .data import TrainingSequence

        rows = []
        for example in examples:
            doc = example.predicted
            self._check_sentences(doc)
            spans = self._aligned(example)
            seen: set[tuple[int, int, int]] = set()
            for window in self.cutter.windows(doc):
                if not self.cutter.holds(window):
                    # Spans over it are counted as cut.
                    continue
                source = self.encoder.source_of(doc[window.start : window.end])
                if not len(source):
                    continue
                inside = {}
                for span in spans:
                    if window.start <= span[0] and span[1] <= window.end:
                        units = source.units_of(
                            span[0] - window.start, span[1] - window.start
                        )
                        seen.add(span)
                        if units is None:
                            self._unsayable(doc, span)
                        else:
                            key = (*units, span[2])
                            inside[key] = span
                grammar = self.encoder.grammar(source)
                target, lost = self.encoder.target(grammar, list(inside))
                for units_span in lost:
                    self._unsayable(doc, inside[units_span])
                prompt = self.encoder.prompt(source)
                ends = self.encoder.unit_ends(source, prompt)
                said = tuple(key for key in inside if key not in lost)
                rows.append(TrainingSequence(prompt, target, self.end_id, ends, said))
            for span in spans:
                if span in seen:
                    continue
                if doc[span[0]].is_space or doc[span[1] - 1].is_space:
                    # Windows leave out white space at their edges.
                    self._unsayable(doc, span)
                else:
                    self._lose("cut", self._text(doc, span))
        return rows

    def _check_sentences(self, doc: Doc) -> None:
        """Warn where training would see documents, and use sentences."""
        name = self.sentences_by
        if name is None or self.cutter.settings.unit == "doc" or len(doc) < 2:
            return
        if not doc.has_annotation("SENT_START"):
            self.sentences_by = None
            warn(Warnings.W403.format(name=name))

    def _lose(self, kind: str, span: str) -> None:
        """Count a span that training goes without."""
        if kind not in self.counts.lost:
            reason = REASONS[kind]
            warn(Warnings.W302.format(key=self.spans_key, reason=reason, span=span))
        self.counts.note(kind, span)

    def _aligned(self, example: Example) -> list[tuple[int, int, int]]:
        """The reference spans on the tokens of the predicted Doc, none crossing."""
        check_labels(example.reference, self.spans_key, self._places)
        self.counts.examples += 1
        group = list(example.reference.spans.get(self.spans_key, ()))
        self.counts.spans += len(group)
        for start, end, label in unaligned_spans(example.reference):
            self.counts.spans += 1
            text = example.reference.text[start:end]
            self._lose("off_grid", f"{text!r} ({label})")
        found = {}
        for span in group:
            aligned = self._on_grid(example, span)
            if aligned is None:
                self._lose("off_grid", f"{span.text!r} ({span.label_})")
            else:
                key = (aligned.start, aligned.end, self._places[span.label_])
                found[CharSpan(aligned.start, aligned.end, span.label_)] = key
        return [found[span] for span in self._uncrossed(example, list(found))]

    def _on_grid(self, example: Example, span: Span) -> Span | None:
        doc = example.predicted
        if doc.text == example.reference.text:
            return doc.char_span(span.start_char, span.end_char)
        aligned = example.get_aligned_spans_y2x([span], allow_overlap=True)
        return aligned[0] if aligned else None

    def _uncrossed(self, example: Example, spans: list[CharSpan]) -> list[CharSpan]:
        pairs = crossings(spans)
        if not pairs or self.encoder.format.allows_crossing:
            return spans
        doc = example.predicted
        if self.crossing == "refuse":
            first, second = pairs[0]
            raise ValueError(
                Errors.G304.format(
                    text=_around(doc, first.start, max(first.end, second.end)),
                    first=f"{doc[first.start : first.end].text!r} ({first.label})",
                    second=f"{doc[second.start : second.end].text!r} ({second.label})",
                )
            )
        kept, dropped = drop_crossing(spans)
        for span in dropped:
            text = f"{doc[span.start : span.end].text!r} ({span.label})"
            self._lose("crossing", text)
        return kept

    def _unsayable(self, doc: Doc, span: tuple[int, int, int]) -> None:
        if self.crossing == "refuse":
            raise ValueError(
                Errors.G305.format(
                    span=self._text(doc, span),
                    text=_around(doc, span[0], span[1]),
                    depth=self.encoder.max_depth,
                )
            )
        self._lose("unsayable", self._text(doc, span))

    def _text(self, doc: Doc, span: tuple[int, int, int]) -> str:
        label = self.encoder.labels[span[2]]
        return f"{doc[span[0] : span[1]].text!r} ({label})"


def _around(doc: Doc, start: int, end: int) -> str:
    """The sentences that hold some tokens, or where they are not known or long, the
    words around."""
    first, last = max(0, start - AROUND), min(len(doc), end + AROUND)
    if doc.has_annotation("SENT_START"):
        first = max(first, doc[start].sent.start)
        last = min(last, doc[end - 1].sent.end)
    return doc[first:last].text
