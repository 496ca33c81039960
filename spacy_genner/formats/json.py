"""The JSON formats: category-grouped, occurrence-based and offset-based.

A JSON format lists the entities instead of copying the text, so it has to identify a
place by the string of an entity. `occurrence_json` counts the occurrences of the string
in the text, `offset_json` gives character offsets, and `grouped_json` gives only the
strings under each label: its k-th entry of a string is the k-th occurrence.
"""

import json
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .base import CharSpan, Format, Issue, LabelMatcher, Parsed, sort_spans
from .json_reader import Value, read_values
from .occurrences import (
    LooseSearch,
    Occurrence,
    TextSearch,
    rank,
    wanted_prefix,
)

_MAX_SHOWN = 80


class SpanCollector:
    """Collects the spans and issues of one output.

    text (str): The source text.
    labels (Sequence[str] | None): The known labels. None accepts any label.
    issues (list[Issue]): The issues. The collector appends to this list.
    """

    def __init__(self, text: str, labels: Sequence[str] | None, issues: list[Issue]):
        self.text = text
        self.issues = issues
        # A dict rather than a list, for constant-time membership tests.
        self.spans: dict[CharSpan, None] = {}
        self._matcher = LabelMatcher(labels)
        self._exact = TextSearch(text)
        self._loose: LooseSearch | None = None
        # By string: its occurrences, whether they are exact, and the ranked ones.
        self._found: dict[str, tuple[list[Occurrence], bool]] = {}
        self._ranked: dict[str, list[Occurrence]] = {}

    def report(self, code: str, message: str, value: Value) -> None:
        """Add an issue.

        code (str): The code of the issue.
        message (str): Its message.
        value (Value): The value of the output that it concerns.
        """
        self.issues.append(Issue(code, message, value.start, value.end))

    def add(self, place: Occurrence, label: str, value: Value) -> None:
        """Add a span, or report a duplicate.

        place (Occurrence): The range of the span.
        label (str): The label of the span.
        value (Value): The value that represents the span.
        """
        span = CharSpan(*place, label)
        if span in self.spans:
            found = self.text[place.start : min(place.end, place.start + _MAX_SHOWN)]
            self.report("duplicate", f"the {label} span {found!r} is repeated", value)
        else:
            self.spans[span] = None

    def accept(self, label: str, value: Value) -> str | None:
        """Find the known label that a label represents, and report any difference.

        label (str): The label.
        value (Value): The value that contains the label.
        RETURNS (str | None): The known label, or None if the label is empty or unknown.
        """
        if not label:
            self.report("unknown_label", "a label is empty", value)
            return None
        known = self._matcher.match(label)
        if known is None:
            self.report("unknown_label", f"{label!r} is not among the labels", value)
        elif known != label:
            self.report("copy_differs", f"found {label!r}, expected {known!r}", value)
        return known

    def find(self, string: Any, value: Value) -> list[Occurrence]:
        """Find the occurrences of a string in the text.

        A string that does not occur, or only with other case, white space or equivalent
        characters, is reported.

        string (Any): The content of the value.
        value (Value): The value.
        RETURNS (list[Occurrence]): The occurrences, from left to right.
        """
        found, is_exact = (
            self._search(string) if isinstance(string, str) else ([], True)
        )
        if not found:
            self.report("not_in_text", f"{string!r} is not in the text", value)
        elif not is_exact:
            expected = self.text[found[0].start : found[0].end]
            message = f"found {string!r}, expected {expected!r}"
            self.report("copy_differs", message, value)
        return found

    def choose(self, string: str, count: int) -> list[Occurrence]:
        """Choose the occurrences of a number of entries of a string, as `choose` does.

        string (str): The string.
        count (int): The number of entries.
        RETURNS (list[Occurrence]): At most `count` occurrences, from left to right.
        """
        if string not in self._ranked:
            self._ranked[string] = rank(self.text, self._search(string)[0])
        return sorted(self._ranked[string][:count])

    def _search(self, string: str) -> tuple[list[Occurrence], bool]:
        """The exact occurrences of a string, or else its loose occurrences."""
        if string not in self._found:
            stripped = string.strip()
            positions = self._exact.find(stripped) if stripped else []
            found = [Occurrence(at, at + len(stripped)) for at in positions]
            is_exact = stripped == string and bool(found)
            if stripped and not found:
                if self._loose is None:
                    self._loose = LooseSearch(self.text)
                found = self._loose.find(stripped)
            self._found[string] = found, is_exact
        return self._found[string]


class JsonFormat(Format):
    """Base class of the formats that list the spans as JSON.

    The output is that of `json.dumps(..., ensure_ascii=False)`. Any non-empty string is
    a legal label, and spans may cross.
    """

    allows_crossing = True
    label_rule = "a non-empty string"

    def is_legal(self, label: str) -> bool:
        return bool(label)

    def render_unchecked(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> str:
        return json.dumps(self.to_json(text, spans, labels), ensure_ascii=False)

    def parse(
        self, output: str, text: str, labels: Sequence[str] | None = None
    ) -> Parsed:
        values, issues = read_values(output)
        collector = SpanCollector(text, labels, issues)
        self.collect(values, collector)
        issues.sort(key=lambda issue: (issue.start, issue.end, issue.code))
        spans = sort_spans(collector.spans, labels)
        if not issues:
            rendered = self.render(text, spans, self.label_order(values, labels))
            if rendered != output:
                message = "the order, the keys or the spacing differ from the expected"
                issues.append(Issue("bad_json", message, 0, len(output)))
        return Parsed(spans, issues)

    @abstractmethod
    def to_json(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> Any:
        """RETURNS (Any): The JSON value that represents spans that are in order."""

    @abstractmethod
    def collect(self, values: Sequence[Value], collector: SpanCollector) -> None:
        """Collect the spans of an output.

        values (Sequence[Value]): The outermost values of the output.
        collector (SpanCollector): Receives the spans and the issues.
        """

    def label_order(
        self, values: Sequence[Value], labels: Sequence[str] | None
    ) -> Sequence[str] | None:
        """The labels with which to render the spans of an output for comparison.

        values (Sequence[Value]): The outermost values of the output.
        labels (Sequence[str] | None): The known labels.
        RETURNS (Sequence[str] | None): The labels in order.
        """
        return labels


class GroupedJson(JsonFormat):
    """An object with a list of strings under each label.

    The k-th entry of a string under a label represents its k-th occurrence. If there
    are fewer entries than occurrences, occurrences that stand alone as words come
    first.
    """

    name = "grouped_json"

    def to_json(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {label: [] for label in labels or ()}
        for label in sorted({span.label for span in spans} - set(groups)):
            groups[label] = []
        for span in spans:
            groups[span.label].append(text[span.start : span.end])
        return groups

    def unsayable(self, text: str, spans: Iterable[CharSpan]) -> list[CharSpan]:
        # An entry is lost if its string would be assigned to another occurrence.
        groups: dict[tuple[str, str], list[CharSpan]] = {}
        for span in sort_spans(set(spans)):
            string = text[span.start : span.end]
            groups.setdefault((span.label, string), []).append(span)
        lost = []
        search = TextSearch(text)
        ranked: dict[str, list[Occurrence]] = {}
        for (_, string), group in groups.items():
            if string not in ranked:
                size = len(string)
                places = [Occurrence(at, at + size) for at in search.find(string)]
                ranked[string] = rank(text, places)
            wanted = [Occurrence(span.start, span.end) for span in group]
            kept = wanted_prefix(ranked[string], wanted)
            lost += [s for s in group if Occurrence(s.start, s.end) not in kept]
        return sort_spans(lost)

    def collect(self, values: Sequence[Value], collector: SpanCollector) -> None:
        entries: dict[tuple[str, str], list[Value]] = {}
        for written, key, value in _groups(values):
            label = collector.accept(written, key)
            if label is None:
                continue
            items = [item for _, item in value.items]
            if value.kind != "list":
                collector.report("bad_json", f"{label!r} has no list", value)
                items = [value] if value.kind == "string" else []
            for item in items:
                if item.kind != "string":
                    message = f"an entry of {label!r} is not a string"
                    collector.report("bad_json", message, item)
                elif item.closed:
                    entries.setdefault((label, item.content), []).append(item)
        for (label, string), items in entries.items():
            self._assign(label, string, items, collector)

    def _assign(
        self, label: str, string: str, items: list[Value], collector: SpanCollector
    ) -> None:
        """Assign the entries with one label and string to occurrences of the string."""
        places = collector.find(string, items[0])
        chosen = collector.choose(string, len(items))
        if len(chosen) < len(places):
            message = f"{len(items)} of {len(places)} occurrences of {string!r} listed"
            collector.report("ambiguous_place", message, items[0])
        for item, place in zip(items, chosen, strict=False):
            collector.add(place, label, item)
        for item in items[len(places) :] if places else ():
            message = f"{string!r} ({label}) is listed more often than it occurs"
            collector.report("duplicate", message, item)

    def label_order(
        self, values: Sequence[Value], labels: Sequence[str] | None
    ) -> Sequence[str] | None:
        return labels or [label for label, _, _ in _groups(values)]


def _groups(values: Sequence[Value]) -> Iterator[tuple[str, Value, Value]]:
    """The labels of a grouped output, each with its key and its list."""
    for outer in values:
        for value in outer.walk():
            if value.kind != "object":
                continue
            for key, item in value.items:
                # The key of a wrapper, as in {"entities": {...}}, is not a label.
                if key is not None and item.kind != "object":
                    yield str(key.content), key, item


class EntryListFormat(JsonFormat):
    """Base class of the formats with one object per span: its text, its label, and the
    integers that identify its place.

    place_keys (tuple[str, ...]): The keys of the integers.
    """

    place_keys: tuple[str, ...]

    @abstractmethod
    def to_place(self, search: TextSearch, span: CharSpan) -> dict[str, int]:
        """RETURNS (dict[str, int]): The integers that identify the place of a span."""

    @abstractmethod
    def find_place(
        self,
        places: list[Occurrence],
        numbers: list[int | None],
        entry: Value,
        collector: SpanCollector,
    ) -> Occurrence | None:
        """Find the occurrence that an entry represents, and report an inaccurate one.

        places (list[Occurrence]): The occurrences of its text, at least one.
        numbers (list[int | None]): The integers of the entry, one for each of
            `place_keys`. None for a key that is missing or not an integer.
        entry (Value): The entry.
        collector (SpanCollector): Receives the issues.
        RETURNS (Occurrence | None): The occurrence, or None if the entry has no place.
        """

    def to_json(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> list[dict[str, Any]]:
        search = TextSearch(text)
        return [
            {
                "text": text[span.start : span.end],
                "label": span.label,
                **self.to_place(search, span),
            }
            for span in spans
        ]

    def collect(self, values: Sequence[Value], collector: SpanCollector) -> None:
        for outer in values:
            for value in outer.walk():
                if value.kind == "object" and (value.get("text") or value.get("label")):
                    self._collect_entry(value, collector)

    def _collect_entry(self, entry: Value, collector: SpanCollector) -> None:
        text, label = entry.get("text"), entry.get("label")
        for key, value in (("text", text), ("label", label)):
            if value is None or value.kind != "string":
                message = f"an entry has no string for {key!r}"
                collector.report("bad_json", message, entry)
                return
            if not value.closed:
                # The output ends inside the string, which is reported already.
                return
        assert text is not None and label is not None
        known = collector.accept(label.content, label)
        if known is None:
            return
        places = collector.find(text.content, text)
        if not places:
            return
        numbers: list[int | None] = []
        for key in self.place_keys:
            value = entry.get(key)
            number = None if value is None else _integer(value)
            if number is None:
                message = f"an entry has no integer for {key!r}"
                collector.report("bad_json", message, value or entry)
            numbers.append(number)
        place = self.find_place(places, numbers, entry, collector)
        if place is None:
            [place] = collector.choose(text.content, 1)
            if len(places) > 1:
                message = f"{text.content!r} has {len(places)} occurrences"
                collector.report("ambiguous_place", message, entry)
        collector.add(place, known, entry)


def _integer(value: Value) -> int | None:
    """The integer of a number, or of a short string of digits."""
    content = value.content
    if value.kind == "string" and content.strip().isdecimal() and len(content) < 16:
        return int(content)
    return content if value.kind == "number" else None


class OccurrenceJson(EntryListFormat):
    """A list of objects that count the occurrences of their text from 1."""

    name = "occurrence_json"
    place_keys = ("occurrence_index",)

    def to_place(self, search: TextSearch, span: CharSpan) -> dict[str, int]:
        positions = search.find(search.text[span.start : span.end])
        return {"occurrence_index": bisect_left(positions, span.start) + 1}

    def find_place(
        self,
        places: list[Occurrence],
        numbers: list[int | None],
        entry: Value,
        collector: SpanCollector,
    ) -> Occurrence | None:
        (index,) = numbers
        if index is None:
            return None
        nearest = min(max(index, 1), len(places))
        if nearest != index:
            message = f"the occurrence is {index}, expected 1 to {len(places)}"
            collector.report("ambiguous_place", message, entry)
        return places[nearest - 1]


class OffsetJson(EntryListFormat):
    """A list of objects with offsets in characters, end exclusive.

    Offsets that do not hold their text move to its nearest occurrence, ties to the
    left.
    """

    name = "offset_json"
    place_keys = ("start", "end")

    def to_place(self, search: TextSearch, span: CharSpan) -> dict[str, int]:
        return {"start": span.start, "end": span.end}

    def find_place(
        self,
        places: list[Occurrence],
        numbers: list[int | None],
        entry: Value,
        collector: SpanCollector,
    ) -> Occurrence | None:
        start, end = numbers
        if start is None and end is None:
            return None

        if start is not None:
            index = bisect_left(places, start, key=lambda place: place.start)
        else:
            index = bisect_left(places, end, key=lambda place: place.end)

        def distance(place: Occurrence) -> int:
            if start is None:
                assert end is not None
                return abs(place.end - end)
            return abs(place.start - start)

        # Of equal distances, the left one comes first. Loose occurrences may end at the
        # same place.
        near = places[max(index - 1, 0) : index + 1]
        place = min(near, key=distance)
        if None not in numbers and place != (start, end):
            message = f"{start} to {end} moved to {place.start} to {place.end}"
            collector.report("offset_moved", message, entry)
        return place
