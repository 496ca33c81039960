"""Character spans, parse issues and the base class of the output formats."""

import re
import unicodedata
from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
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
    pairs = sorted(_crossing_indices(by_start))
    return [(by_start[first], by_start[second]) for first, second in pairs]


def first_crossing(spans: Iterable[CharSpan]) -> tuple[CharSpan, CharSpan] | None:
    """Find a pair of spans that overlap partially.

    spans (Iterable[CharSpan]): The spans.
    RETURNS (tuple[CharSpan, CharSpan] | None): The pair, or None if there is none.
    """
    by_start = sorted(spans, key=lambda span: (span[0], -span[1]))
    for first, second in _crossing_indices(by_start):
        return by_start[first], by_start[second]
    return None


def _crossing_indices(by_start: Sequence[CharSpan]) -> Iterator[tuple[int, int]]:
    """The pairs of indices of the spans that overlap partially. The time is about
    proportional to the number of spans and pairs."""
    # The negative ends and the indices of the spans that a later one may overlap, the
    # nearest end last. Those that start with it are at least as long, by the order.
    active: list[tuple[int, int]] = []
    for second, span in enumerate(by_start):
        start, end = span[0], span[1]
        while active and -active[-1][0] <= start:
            active.pop()
        for other_end, first in reversed(active):
            if -other_end >= end:
                break
            yield first, second
        insort(active, (-end, second))


class NestedSpans:
    """A set of spans of which no two overlap partially.

    Two trees over the positions hold the furthest end of the spans that start at a
    position and the nearest start of those that end there. A lookup takes logarithmic
    time.

    candidates (Iterable[tuple[int, int]]): The ranges of all spans that may be added.
    """

    def __init__(self, candidates: Iterable[tuple[int, int]]):
        places = sorted({place for span in candidates for place in span})
        self._index = {place: index for index, place in enumerate(places)}
        self._size = len(places)
        # The numbers of the spans, counted in the order in which they are added.
        self._numbers: dict[tuple[int, int], int] = {}
        # The ends, and the negative starts. In both trees, greater values win.
        self._ends = [-1] * (2 * self._size)
        self._starts = [-self._size] * (2 * self._size)

    def add(self, start: int, end: int) -> None:
        """Add a span. Only a span that crosses no other may be added.

        start (int): Its start.
        end (int): Its end.
        """
        first, last = self._index[start], self._index[end]
        self._numbers.setdefault((first, last), len(self._numbers))
        _raise(self._ends, self._size + first, last)
        _raise(self._starts, self._size + last, -first)

    def crossed(self, start: int, end: int) -> int | None:
        """Find a span that overlaps a range partially.

        start (int): The start of the range.
        end (int): The end of the range.
        RETURNS (int | None): The number of the span among the different ones, in the
            order in which they were added. None if there is none.
        """
        first, last = self._index[start], self._index[end]
        found = []
        index = _greatest(self._ends, self._size, first + 1, last)
        if index is not None and self._ends[index] > last:
            found.append(self._numbers[index - self._size, self._ends[index]])
        index = _greatest(self._starts, self._size, first + 1, last)
        if index is not None and -self._starts[index] < first:
            found.append(self._numbers[-self._starts[index], index - self._size])
        return min(found, default=None)


def _raise(tree: list[int], index: int, value: int) -> None:
    """Raise a leaf of a tree of maxima to a value."""
    while index and tree[index] < value:
        tree[index] = value
        index //= 2


def _greatest(tree: list[int], size: int, low: int, high: int) -> int | None:
    """The index in the tree of the greatest leaf of a range. None if it is empty."""
    low, high = low + size, high + size
    best: int | None = None
    while low < high:
        if low % 2:
            best = low if best is None or tree[low] > tree[best] else best
            low += 1
        if high % 2:
            high -= 1
            best = high if best is None or tree[high] > tree[best] else best
        low, high = low // 2, high // 2
    while best is not None and best < size:
        best = max(2 * best, 2 * best + 1, key=tree.__getitem__)
    return best


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
    longest_first = sorted(spans, key=lambda s: (s[0] - s[1], s))
    nested = NestedSpans((span[0], span[1]) for span in longest_first)
    for span in longest_first:
        if nested.crossed(span[0], span[1]) is None:
            nested.add(span[0], span[1])
            kept.append(span)
        else:
            dropped.append(span)
    return kept, dropped


class LabelMatcher:
    """Matches the labels of an output with the known labels.

    A label that differs in case, spacing, the sign between its words, equivalent
    characters or signs around it (`**GPE**`) matches if only one known label does so.

    labels (Iterable[str] | None): The known labels. None accepts any label.
    """

    def __init__(self, labels: Iterable[str] | None):
        self._labels = None if labels is None else dict.fromkeys(labels)
        self._folded: dict[str, str | None] | None = None

    def match(self, label: str) -> str | None:
        """Find the known label that a label represents.

        label (str): The label.
        RETURNS (str | None): The known label, or None if there is none or several.
        """
        if self._labels is None or label in self._labels:
            return label
        if self._folded is None:
            self._folded = {}
            for known in self._labels:
                key = _label_key(known)
                self._folded[key] = None if key in self._folded else known
        return self._folded.get(_label_key(label))


# What separates the words of a label, and signs at its edges.
_BETWEEN_WORDS = re.compile(r"[\s_\-\u2010-\u2015]+")
_AROUND = re.compile(r"\A[\"'`*#.,:;()<>{}]+|[\"'`*#.,:;()<>{}]+\Z")


def _label_key(label: str) -> str:
    key = _BETWEEN_WORDS.sub("", unicodedata.normalize("NFKC", label).casefold())
    return _AROUND.sub("", key) or key


def _validated(
    text: str, spans: Iterable[CharSpan], labels: Sequence[str] | None
) -> list[CharSpan]:
    """Sort spans and remove duplicates. Raise if a span does not fit the text."""
    unique = sort_spans({CharSpan(*span) for span in spans}, labels)
    for span in unique:
        if not 0 <= span.start < span.end <= len(text):
            raise ValueError(Errors.G001.format(span=tuple(span), size=len(text)))
        if text[span.start].isspace() or text[span.end - 1].isspace():
            found = text[span.start : span.end]
            raise ValueError(Errors.G002.format(span=tuple(span), found=found))
    return unique
