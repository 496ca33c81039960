"""Training targets from the reference spans of examples.

`TargetBuilder` cuts the documents into the windows of prediction and renders the
reference output of each. It skips the spans that training cannot use, with a warning
for the first of each kind, or refuses them. `TargetCounts` counts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from spacy.tokens import Doc, Span
from spacy.training import Example

from ..corpora.docbin import unaligned_spans
from ..corpora.labels import check_labels
from ..errors import Errors, Warnings, warn
from ..formats import CharSpan, crossings, drop_crossing
from ..grammar import Source
from ..prompts import TaskEncoder
from ..prompts.windows import WindowCutter
from .data import TrainingSequence

# The kinds of skipped spans, with the reasons. The subject of a reason is "spans".
REASONS = {
    "off_grid": "fit no token boundary of the pipeline's tokenizer",
    "sentence": "cross a sentence boundary",
    "cut": "cross a window boundary",
    "crossing": "cross another span",
    "unsayable": "cannot be represented in the output format",
}
# The remedies. That for sentences depends on the component that sets their boundaries.
REMEDIES = {
    "off_grid": "Correct the spans, or use a tokenizer with finer tokens: "
    '@tokenizers = "spacy-genner.FineTokenizer.v1" in [nlp.tokenizer].',
    "cut": "A window has at most {max_tokens} tokens, and two windows share at most "
    "{overlap}. Raise 'window.max_tokens' or 'window.overlap', as far as the base "
    "model allows.",
    "crossing": "Correct the spans, or set 'format' to \"occurrence_json\" or "
    '"offset_json", which can represent them.',
    "unsayable": "Correct the spans, raise 'max_depth' if they are nested more deeply, "
    "or use another 'format'.",
}
# The number of skipped spans of each kind that are listed.
LISTED = 5
# The number of tokens before and after a span that an error message shows.
CONTEXT = 20

# First token, end token (exclusive) and label index.
TokenSpan = tuple[int, int, int]


@dataclass
class TargetCounts:
    """The numbers of reference spans that training has seen and skipped.

    examples (int): Examples.
    spans (int): Reference spans.
    off_grid (int): Spans that fit no token boundary of the pipeline's tokenizer.
    sentence (int): Spans that cross a sentence boundary.
    cut (int): Spans that cross a window boundary within a sentence.
    crossing (int): Spans that cross another span.
    unsayable (int): Spans that the output format cannot represent.
    listed (dict[str, list[str]]): The first skipped spans of each kind.
    """

    examples: int = 0
    spans: int = 0
    off_grid: int = 0
    sentence: int = 0
    cut: int = 0
    crossing: int = 0
    unsayable: int = 0
    listed: dict[str, list[str]] = field(default_factory=dict)

    @property
    def skipped(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): The kinds of skipped spans that occurred, with
        their counts."""
        return {kind: getattr(self, kind) for kind in REASONS if getattr(self, kind)}

    def add_skipped(self, kind: str, span: str) -> None:
        """Count a skipped span.

        kind (str): One of `REASONS`.
        span (str): The span, for the list.
        """
        setattr(self, kind, getattr(self, kind) + 1)
        spans = self.listed.setdefault(kind, [])
        if len(spans) < LISTED:
            spans.append(span)


class TargetBuilder:
    """Builds training sequences from examples, and counts the reference spans.

    encoder (TaskEncoder): Encodes prompts and targets.
    cutter (WindowCutter): Cuts documents into windows, as prediction does.
    spans_key (str): The group of `doc.spans` with the reference spans.
    crossing (str): "refuse" to raise an error for spans that the output format cannot
        represent, or "drop" to skip them.
    end_id (int | None): The id that ends an output. None if the model has none.
    sentences_by (str | None): The upstream component that sets sentence boundaries in
        prediction.

    counts (TargetCounts): The counts of all examples so far.
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
        self.encoder = encoder
        self.cutter = cutter
        self.spans_key = spans_key
        self.crossing = crossing
        self.end_id = end_id
        self.sentences_by = sentences_by
        self._boundaries_by = sentences_by
        self.counts = TargetCounts()
        self._label_indices = {label: i for i, label in enumerate(encoder.labels)}

    def sequences(self, examples: Sequence[Example]) -> list[TrainingSequence]:
        """Build the training sequences of examples, one for each window.

        examples (Sequence[Example]): The examples.
        RETURNS (list[TrainingSequence]): The sequences.
        RAISES (ValueError): The component lacks a label, or `crossing` is "refuse" and
            the output format cannot represent the spans.
        """
        return [found for example in examples for found in self._sequences(example)]

    def _sequences(self, example: Example) -> list[TrainingSequence]:
        doc = example.predicted
        self._check_sentences(doc)
        spans = self._token_spans(example)
        covered: set[TokenSpan] = set()
        sequences = []
        for window in self.cutter.windows(doc):
            if not self.cutter.holds(window):
                # The spans of this window are counted as cut.
                continue
            source = self.encoder.source_of(doc[window.start : window.end])
            if not len(source):
                continue
            inside = [
                span
                for span in spans
                if window.start <= span[0] and span[1] <= window.end
            ]
            covered.update(inside)
            sequences.append(self._sequence(doc, window.start, source, inside))
        for span in spans:
            if span in covered:
                continue
            if doc[span[0]].is_space or doc[span[1] - 1].is_space:
                # Windows leave out white space at their edges.
                self._skip_unsayable(doc, span)
            elif self._crosses_sentence(doc, span):
                self._skip("sentence", self._describe(doc, span))
            else:
                self._skip("cut", self._describe(doc, span))
        return sequences

    def _sequence(
        self, doc: Doc, offset: int, source: Source, spans: list[TokenSpan]
    ) -> TrainingSequence:
        """Build the sequence of the window that starts at the token `offset`."""
        # A word of the source is a token that is not white space.
        by_words: dict[TokenSpan, TokenSpan] = {}
        for span in spans:
            words = source.word_range(span[0] - offset, span[1] - offset)
            if words is None:
                self._skip_unsayable(doc, span)
            else:
                first, end = words
                by_words[first, end, span[2]] = span
        grammar = self.encoder.grammar(source)
        target, skipped = self.encoder.target(grammar, list(by_words))
        for word_span in skipped:
            self._skip_unsayable(doc, by_words[word_span])
        prompt = self.encoder.prompt(source)
        return TrainingSequence(
            self.encoder.prefix_ids,
            prompt,
            target,
            self.end_id,
            self.encoder.word_ends(source, prompt),
            tuple(word_span for word_span in by_words if word_span not in skipped),
        )

    def _check_sentences(self, doc: Doc) -> None:
        """Warn if prediction uses sentences and training whole documents."""
        name = self.sentences_by
        if name is None or self.cutter.settings.unit == "doc" or len(doc) < 2:
            return
        if not doc.has_annotation("SENT_START"):
            self.sentences_by = None
            warn(Warnings.W403.format(name=name))

    def _crosses_sentence(self, doc: Doc, span: TokenSpan) -> bool:
        """Whether windows are sentences, and the span is not within one."""
        if self.cutter.settings.unit == "doc":
            return False
        return any(doc[index].is_sent_start for index in range(span[0] + 1, span[1]))

    def _token_spans(self, example: Example) -> list[TokenSpan]:
        """The reference spans on the tokens of the predicted Doc, without crossing
        spans unless the format allows them."""
        reference = example.reference
        check_labels(reference, self.spans_key, self._label_indices)
        self.counts.examples += 1
        group = list(reference.spans.get(self.spans_key, ()))
        self.counts.spans += len(group)
        for start, end, label in unaligned_spans(reference):
            self.counts.spans += 1
            self._skip("off_grid", f"{reference.text[start:end]!r} ({label})")
        spans = []
        for span in group:
            aligned = _align(example, span)
            if aligned is None:
                self._skip("off_grid", f"{span.text!r} ({span.label_})")
            else:
                spans.append(CharSpan(aligned.start, aligned.end, span.label_))
        spans = self._without_crossing(example.predicted, list(dict.fromkeys(spans)))
        return [(start, end, self._label_indices[label]) for start, end, label in spans]

    def _without_crossing(self, doc: Doc, spans: list[CharSpan]) -> list[CharSpan]:
        pairs = crossings(spans)
        if not pairs or self.encoder.format.allows_crossing:
            return spans
        if self.crossing == "refuse":
            first, second = pairs[0]
            raise ValueError(
                Errors.G304.format(
                    text=_context(doc, first.start, max(first.end, second.end)),
                    first=_describe(doc, first.start, first.end, first.label),
                    second=_describe(doc, second.start, second.end, second.label),
                )
            )
        kept, dropped = drop_crossing(spans)
        for span in dropped:
            self._skip("crossing", _describe(doc, span.start, span.end, span.label))
        return kept

    def _skip_unsayable(self, doc: Doc, span: TokenSpan) -> None:
        if self.crossing == "refuse":
            raise ValueError(
                Errors.G305.format(
                    span=self._describe(doc, span),
                    text=_context(doc, span[0], span[1]),
                    depth=self.encoder.max_depth,
                )
            )
        self._skip("unsayable", self._describe(doc, span))

    def _skip(self, kind: str, span: str) -> None:
        """Count a skipped span, with a warning for the first of its kind."""
        if kind not in self.counts.skipped:
            warn(
                Warnings.W302.format(
                    key=self.spans_key,
                    reason=REASONS[kind],
                    span=span,
                    remedy=self._remedy(kind),
                )
            )
        self.counts.add_skipped(kind, span)

    def _remedy(self, kind: str) -> str:
        if kind == "sentence":
            if self._boundaries_by is None:
                return (
                    "The sentence boundaries are those of the documents. Correct them, "
                    "or set 'window.unit' to \"doc\"."
                )
            return (
                f"The component {self._boundaries_by!r} set the boundary. Correct it: "
                'the factory "genner_sentences" cuts fewer names than a sentencizer. '
                "Or set 'window.unit' to \"doc\"."
            )
        return REMEDIES[kind].format(
            max_tokens=self.cutter.max_tokens, overlap=self.cutter.overlap
        )

    def _describe(self, doc: Doc, span: TokenSpan) -> str:
        start, end, label = span
        return _describe(doc, start, end, self.encoder.labels[label])


def _align(example: Example, span: Span) -> Span | None:
    """The span on the tokens of the predicted Doc, or None if it fits none."""
    doc = example.predicted
    if doc.text == example.reference.text:
        return doc.char_span(span.start_char, span.end_char)
    aligned = example.get_aligned_spans_y2x([span], allow_overlap=True)
    return aligned[0] if aligned else None


def _describe(doc: Doc, start: int, end: int, label: str) -> str:
    return f"{doc[start:end].text!r} ({label})"


def _context(doc: Doc, start: int, end: int) -> str:
    """The sentences around a range of tokens, or a limited number of tokens if there
    are no sentence boundaries or the sentences are long."""
    first, last = max(0, start - CONTEXT), min(len(doc), end + CONTEXT)
    if doc.has_annotation("SENT_START"):
        first = max(first, doc[start].sent.start)
        last = min(last, doc[end - 1].sent.end)
    return doc[first:last].text
