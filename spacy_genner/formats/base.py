"""Character spans, parse issues and the base class of the output formats."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import Errors


class CharSpan(NamedTuple):
    """A labelled span of a text.

    start (int): The offset of the first character.
    end (int): The offset after the last character.
    label (str): The label.
    """

    start: int
    end: int
    label: str


class Issue(NamedTuple):
    """A difference between an output and the output that `render` would give.

    code (str): The kind of issue, for example "truncated".
    message (str): A description of the issue.
    start (int): The offset in the output at which the issue starts (characters).
    end (int): The offset in the output at which it ends, exclusive.
    """

    code: str
    message: str
    start: int
    end: int


class Parsed(NamedTuple):
    """The result of parsing an output.

    spans (list[CharSpan]): The spans, in order.
    issues (list[Issue]): Everything that was repaired or left out. Empty if the output
        is exactly what `render` gives for the spans.
    """

    spans: list[CharSpan]
    issues: list[Issue]


class Format(ABC):
    """A textual representation of the entities of a text.

    name (str): The name of the format.
    allows_crossing (bool): Whether spans may overlap partially.
    label_rule (str): A description of the legal labels, for error messages.
    """

    name: str
    allows_crossing: bool
    label_rule: str

    @abstractmethod
    def is_legal(self, label: str) -> bool:
        """RETURNS (bool): Whether the format can represent the label."""

    def check_label(self, label: str) -> None:
        """Check that the format can represent a label.

        label (str): The label.
        RAISES (ValueError): If it is not a legal label of this format.
        """
        if not isinstance(label, str) or not self.is_legal(label):
            raise ValueError(
                Errors.G003.format(label=label, format=self.name, rule=self.label_rule)
            )

    def render(
        self, text: str, spans: Iterable[CharSpan], labels: Sequence[str] | None = None
    ) -> str:
        """Render the spans of a text.

        text (str): The text.
        spans (Iterable[CharSpan]): The spans. Exact duplicates are rendered once.
        labels (Sequence[str] | None): The labels. Their order determines the order of
            spans with the same range.
        RETURNS (str): The output.
        RAISES (ValueError): If a label is not legal, if a span is empty, lies outside
            the text or starts or ends with white space, or if two spans cross and the
            format does not allow it.
        """
        unique = _validated(text, spans, labels)
        for label in {span.label for span in unique}:
            self.check_label(label)
        return self.render_unchecked(text, unique, labels)

    @abstractmethod
    def render_unchecked(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> str:
        """Render spans without the checks of `render`.

        text (str): The text.
        spans (list[CharSpan]): The spans, each once and in order.
        labels (Sequence[str] | None): The labels.
        RETURNS (str): The output.
        """

    def unsayable(self, text: str, spans: Iterable[CharSpan]) -> list[CharSpan]:
        """Find the spans that the format cannot represent in this text.

        text (str): The text.
        spans (Iterable[CharSpan]): The spans.
        RETURNS (list[CharSpan]): The spans that are not representable, in order.
            Without them, `parse` recovers exactly what `render` was given.
        """
        return []

    @abstractmethod
    def parse(
        self, output: str, text: str, labels: Sequence[str] | None = None
    ) -> Parsed:
        """Parse an output and align it with its source.

        output (str): The output of a model. Any string is accepted.
        text (str): The source text.
        labels (Sequence[str] | None): The known labels. None accepts any label.
        RETURNS (Parsed): The spans and the issues. Without issues, the output is
            exactly what `render` gives for the spans.
        """


def sort_spans(
    spans: Iterable[CharSpan], labels: Sequence[str] | None = None
) -> list[CharSpan]:
    """Sort spans by start, then longer spans first, then by label.

    spans (Iterable[CharSpan]): The spans.
    labels (Sequence[str] | None): The labels in their order. None sorts labels by code
        points.
    RETURNS (list[CharSpan]): The sorted spans.
    """
    ranks = {label: rank for rank, label in enumerate(labels or ())}
    return sorted(
        spans,
        key=lambda s: (s.start, -s.end, ranks.get(s.label, len(ranks)), s.label),
    )


def crossings(spans: Iterable[CharSpan]) -> list[tuple[CharSpan, CharSpan]]:
    """Find the pairs of spans that overlap partially.

    spans (Iterable[CharSpan]): The spans. Any tuples that begin with start and end are
        accepted.
    RETURNS (list[tuple[CharSpan, CharSpan]]): The pairs. The first span of a pair
        starts before the second.
    """
    by_start = sorted(spans, key=lambda span: (span[0], -span[1]))
    pairs = []
    for index, first in enumerate(by_start):
        for second in by_start[index + 1 :]:
            if second[0] >= first[1]:
                break
            if first[0] < second[0] and second[1] > first[1]:
                pairs.append((first, second))
    return pairs


def drop_crossing(
    spans: Iterable[CharSpan],
) -> tuple[list[CharSpan], list[CharSpan]]:
    """Drop the shorter span of each crossing pair, or the later one of equal length.

    spans (Iterable[CharSpan]): The spans.
    RETURNS (tuple[list[CharSpan], list[CharSpan]]): The spans kept and the spans
        dropped.
    """
    kept: list[CharSpan] = []
    dropped: list[CharSpan] = []
    for span in sorted(spans, key=lambda s: (s[0] - s[1], s)):
        crossed = any(crossings([span, other]) for other in kept)
        (dropped if crossed else kept).append(span)
    return kept, dropped


def _validated(
    text: str, spans: Iterable[CharSpan], labels: Sequence[str] | None
) -> list[CharSpan]:
    """Sort spans and remove duplicates. Raise if a span does not fit the text."""
    unique = sort_spans({CharSpan(*span) for span in spans}, labels)
    for span in unique:
        if not 0 <= span.start < span.end <= len(text):
            raise ValueError(Errors.G001.format(span=tuple(span), size=len(text)))
        found = text[span.start : span.end]
        if found != found.strip():
            raise ValueError(Errors.G002.format(span=tuple(span), found=found))
    return unique
