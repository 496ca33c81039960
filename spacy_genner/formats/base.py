"""Spans over characters, parse issues and the base class of the formats."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import Errors


class CharSpan(NamedTuple):
    """A labelled stretch of a text: characters, end exclusive."""

    start: int
    end: int
    label: str


class Issue(NamedTuple):
    """Something in an output that is not as `render` would have it.

    code (str): What kind of thing.
    message (str): What it is.
    start (int): Where it starts in the output (characters).
    end (int): Where it ends, exclusive.
    """

    code: str
    message: str
    start: int
    end: int


class Parsed(NamedTuple):
    """What an output says of its source.

    spans (List[CharSpan]): The spans, in order.
    issues (List[Issue]): What was repaired or left out; none where the output is
        what `render` gives for the spans.
    """

    spans: list[CharSpan]
    issues: list[Issue]


def ordered(
    spans: Iterable[CharSpan], labels: Sequence[str] | None = None
) -> list[CharSpan]:
    """Spans by start, then the longer first, then the label's place.

    spans (Iterable[CharSpan]): The spans.
    labels (Optional[Sequence[str]]): The labels; without them code points count.
    RETURNS (List[CharSpan]): The spans in order.
    """
    places = {label: place for place, label in enumerate(labels or ())}
    return sorted(
        spans,
        key=lambda s: (s.start, -s.end, places.get(s.label, len(places)), s.label),
    )


def checked(
    text: str, spans: Iterable[CharSpan], labels: Sequence[str] | None = None
) -> list[CharSpan]:
    """Spans in order, each once.

    text (str): The text.
    spans (Iterable[CharSpan]): The spans.
    labels (Optional[Sequence[str]]): The labels.
    RETURNS (List[CharSpan]): The spans.
    RAISES (ValueError): A span lies outside the text, is empty, or starts or ends
        with white space.
    """
    unique = ordered({CharSpan(*span) for span in spans}, labels)
    for span in unique:
        if not 0 <= span.start < span.end <= len(text):
            raise ValueError(Errors.G001.format(span=tuple(span), size=len(text)))
        found = text[span.start : span.end]
        if found != found.strip():
            raise ValueError(Errors.G002.format(span=tuple(span), found=found))
    return unique


def crossings(spans: Iterable[CharSpan]) -> list[tuple[CharSpan, CharSpan]]:
    """The pairs of spans that overlap in part.

    spans (Iterable[CharSpan]): The spans; any with start and end first.
    RETURNS (List[Tuple[CharSpan, CharSpan]]): The pairs, each with the one that
        starts first first.
    """
    rows = sorted(spans, key=lambda span: (span[0], -span[1]))
    pairs = []
    for index, first in enumerate(rows):
        for second in rows[index + 1 :]:
            if second[0] >= first[1]:
                break
            if first[0] < second[0] and second[1] > first[1]:
                pairs.append((first, second))
    return pairs


def drop_crossing(
    spans: Iterable[CharSpan],
) -> tuple[list[CharSpan], list[CharSpan]]:
    """Leave out the shorter of each pair that crosses, of equals the later.

    spans (Iterable[CharSpan]): The spans.
    RETURNS (Tuple[List[CharSpan], List[CharSpan]]): Those kept and those left out.
    """
    kept: list[CharSpan] = []
    dropped: list[CharSpan] = []
    for span in sorted(spans, key=lambda s: (s[0] - s[1], s)):
        crossed = any(crossings([span, other]) for other in kept)
        (dropped if crossed else kept).append(span)
    return kept, dropped


class Format:
    """Spans written beside or into a text, and read back.

    name (str): The format's name.
    allows_crossing (bool): Whether spans may overlap in part.
    label_rule (str): What a label has to be, in words.
    """

    name: str
    allows_crossing: bool
    label_rule: str

    def is_legal(self, label: str) -> bool:
        """RETURNS (bool): Whether the format can carry a label."""
        raise AssertionError("abstract")

    def check_label(self, label: str) -> None:
        """Check that the format can carry a label.

        label (str): The label.
        RAISES (ValueError): It can't.
        """
        if not isinstance(label, str) or not self.is_legal(label):
            raise ValueError(
                Errors.G003.format(label=label, format=self.name, rule=self.label_rule)
            )

    def render(
        self, text: str, spans: Iterable[CharSpan], labels: Sequence[str] | None = None
    ) -> str:
        """Write the spans of a text.

        text (str): The text.
        spans (Iterable[CharSpan]): The spans; exact duplicates count once.
        labels (Optional[Sequence[str]]): The labels, whose order settles that of spans
            with one range.
        RETURNS (str): The output.
        RAISES (ValueError): A label is not legal; a span is empty, blank-edged or out
            of the text; two spans cross where the format can't say that.
        """
        unique = checked(text, spans, labels)
        for label in {span.label for span in unique}:
            self.check_label(label)
        return self.written(text, unique, labels)

    def written(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> str:
        """RETURNS (str): The output for spans that are checked and in order."""
        raise AssertionError("abstract")

    def unsayable(self, text: str, spans: Iterable[CharSpan]) -> list[CharSpan]:
        """The spans that an output would lose.

        text (str): The text.
        spans (Iterable[CharSpan]): The spans.
        RETURNS (List[CharSpan]): The lost ones, in order.
        """
        return []

    def parse(
        self, output: str, text: str, labels: Sequence[str] | None = None
    ) -> Parsed:
        """Read an output against its source.

        output (str): What a model wrote; anything.
        text (str): The source.
        labels (Optional[Sequence[str]]): The labels there are; None for any.
        RETURNS (Parsed): The spans, and what was wrong. No issue means that the output
            is what `render` gives for the spans.
        """
        raise AssertionError("abstract")
