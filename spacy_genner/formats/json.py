"""The JSON formats: category-grouped, occurrence-based and offset-based.

A JSON format lists the entities instead of copying the text, so it has to identify a
place by the string of an entity. `occurrence_json` counts the occurrences of the string
in the text, `offset_json` gives character offsets, and `grouped_json` gives only the
strings under each label: its k-th entry of a string is the k-th occurrence.
"""

import json
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .base import CharSpan, Format, Issue, LabelMatcher, Parsed, sort_spans
from .json_reader import Value, read_values
from .repair import Folded, fold

_MAX_SHOWN = 80
# After this number of searches in one text, its positions are sorted by the characters
# that follow, at first by this number of them, and strings are found by bisection.
_MAX_SCANS = 64
_INDEXED = 32
_FEW_CHARACTERS = 1000


class Occurrence(NamedTuple):
    """An occurrence of a string in a text.

    start (int): The offset of its first character.
    end (int): The offset after its last character.
    """

    start: int
    end: int


def occurrences(text: str, string: str) -> list[Occurrence]:
    """Find all occurrences of a string, also overlapping ones and those inside words.

    text (str): The text.
    string (str): The string, not empty.
    RETURNS (list[Occurrence]): The occurrences, from left to right.
    """
    return [Occurrence(at, at + len(string)) for at in _positions(text, string)]


def _positions(text: str, string: str) -> list[int]:
    """The offsets at which a string starts, also within another occurrence of it."""
    found: list[int] = []
    at = text.find(string)
    while at >= 0:
        found.append(at)
        if len(found) * len(string) > len(text) + _FEW_CHARACTERS:
            # The occurrences overlap, so that each search would compare the same
            # characters again.
            return _overlapping_positions(text, string)
        at = text.find(string, at + 1)
    return found


def _overlapping_positions(text: str, string: str) -> list[int]:
    """As `_positions`, in linear time (Knuth, Morris and Pratt, 1977)."""
    # For each prefix of the string, the length of its longest border.
    borders = [0]
    size = 0
    for char in string[1:]:
        while size and char != string[size]:
            size = borders[size - 1]
        size += char == string[size]
        borders.append(size)
    found, size = [], 0
    for at, char in enumerate(text):
        while size and (size == len(string) or char != string[size]):
            size = borders[size - 1]
        size += char == string[size]
        if size == len(string):
            found.append(at + 1 - size)
    return found


class TextSearch:
    """Finds strings in a text. Many strings are found in about linear time.

    text (str): The text.
    """

    def __init__(self, text: str):
        self.text = text
        self._scans = 0
        self._found: dict[str, list[int]] = {}
        self._index: _SortedPositions | None = None

    def find(self, string: str) -> list[int]:
        """Find all occurrences of a string, also overlapping ones.

        string (str): The string, not empty.
        RETURNS (list[int]): Their offsets, from left to right.
        """
        if string not in self._found:
            self._scans += 1
            if len(string) > len(self.text):
                self._found[string] = []
            elif self._scans <= _MAX_SCANS:
                self._found[string] = _positions(self.text, string)
            else:
                if self._index is None:
                    self._index = _SortedPositions(self.text)
                self._found[string] = self._index.find(string)
        return self._found[string]


class _SortedPositions:
    """The positions of a text, sorted by a number of the characters that follow.

    The number is doubled when longer strings are searched, as in the construction of a
    suffix array (Larsson and Sadakane, 2007): positions with equal characters are
    sorted by the ranks of the positions after these characters.

    text (str): The text.
    """

    def __init__(self, text: str):
        self.text = text
        self.size = _INDEXED
        self._order = sorted(range(len(text)), key=lambda at: text[at : at + _INDEXED])
        # For each position, the index in the order of the first that is equal to it.
        # Past the end of the text, there is an empty string.
        self._ranks = [-1] * len(text)
        # The ranges of the order with several equal positions.
        self._equal: list[tuple[int, int]] = []
        before, first = None, 0
        for index, at in enumerate(self._order):
            found = text[at : at + _INDEXED]
            if found != before:
                self._close(first, index)
                before, first = found, index
            self._ranks[at] = first
        self._close(first, len(text))

    def _close(self, first: int, end: int) -> None:
        if end - first > 1:
            self._equal.append((first, end))

    def find(self, string: str) -> list[int]:
        """RETURNS (list[int]): The offsets at which a string starts, in order."""
        size, text, order = len(string), self.text, self._order
        while self.size < size and self._equal:
            self._double()
        start = bisect_left(order, string, key=lambda at: text[at : at + size])
        end = bisect_right(order, string, lo=start, key=lambda at: text[at : at + size])
        return sorted(order[start:end])

    def _double(self) -> None:
        size, order, ranks = self.size, self._order, self._ranks
        total = len(order)

        def rank_after(at: int) -> int:
            return ranks[at + size] if at + size < total else -1

        groups, self._equal = self._equal, []
        keys: list[list[int]] = []
        for first, end in groups:
            order[first:end] = sorted(order[first:end], key=rank_after)
            keys.append([rank_after(at) for at in order[first:end]])
        # The ranks change after all groups are sorted by the old ones.
        for (first, end), found in zip(groups, keys, strict=True):
            start = first
            for index in range(first, end):
                if found[index - first] != found[start - first]:
                    self._close(start, index)
                    start = index
                ranks[order[index]] = start
            self._close(start, end)
        self.size = 2 * size


class LooseSearch:
    """Finds strings in a text, ignoring case, white space and equivalent characters.

    text (str): The text.
    """

    def __init__(self, text: str):
        self._folded: Folded = fold(text, loose=True)
        self._search = TextSearch(self._folded.text)

    def find(self, string: str) -> list[Occurrence]:
        """Find all occurrences of a string, also overlapping ones.

        string (str): The string.
        RETURNS (list[Occurrence]): The occurrences, from left to right. Empty if the
            string is white space.
        """
        wanted = fold(string, loose=True).text
        if not wanted:
            return []
        text, starts, ends = self._folded
        found = []
        for at in self._search.find(wanted):
            last = at + len(wanted) - 1
            # A character that is folded to several ones is found as a whole.
            whole_start = at == 0 or starts[at - 1] != starts[at]
            if whole_start and (
                last + 1 == len(text) or starts[last + 1] != starts[last]
            ):
                found.append(Occurrence(starts[at], ends[last]))
        return found


def loose_occurrences(text: str, string: str) -> list[Occurrence]:
    """Find all occurrences of a string, ignoring case, white space and the differences
    between equivalent characters.

    text (str): The text.
    string (str): The string.
    RETURNS (list[Occurrence]): The occurrences, from left to right. Empty if the string
        is white space.
    """
    return LooseSearch(text).find(string)


def stands_alone(text: str, place: Occurrence) -> bool:
    """Check that an occurrence neither starts nor ends inside a word.

    text (str): The text.
    place (Occurrence): The occurrence, not empty.
    RETURNS (bool): Whether it is delimited by word boundaries.
    """
    start, end = place
    before = start > 0 and _is_inside_word(text[start - 1], text[start])
    after = end < len(text) and _is_inside_word(text[end - 1], text[end])
    return not (before or after)


def _is_inside_word(left: str, right: str) -> bool:
    return (left.isalnum() or left == "_") and (right.isalnum() or right == "_")


def choose(text: str, places: Sequence[Occurrence], count: int) -> list[Occurrence]:
    """Choose the occurrences of a number of entries that consist of their string alone.

    Occurrences that stand alone as words take precedence.

    text (str): The text.
    places (Sequence[Occurrence]): The occurrences of the string, from left to right.
    count (int): The number of entries.
    RETURNS (list[Occurrence]): At most `count` occurrences, from left to right.
    """
    return sorted(_ranked(text, places)[:count])


def _ranked(text: str, places: Sequence[Occurrence]) -> list[Occurrence]:
    """Occurrences that stand alone as words, and then the others."""
    return sorted(places, key=lambda place: not stands_alone(text, place))


def representable(
    text: str, places: Sequence[Occurrence], wanted: Collection[Occurrence]
) -> set[Occurrence]:
    """Find the largest subset of some occurrences that `choose` recovers from its size.

    text (str): The text.
    places (Sequence[Occurrence]): The occurrences of the string, from left to right.
    wanted (Collection[Occurrence]): The occurrences to represent.
    RETURNS (set[Occurrence]): The representable subset of `wanted`.
    """
    return _first_wanted(_ranked(text, places), wanted)


def _first_wanted(
    ranked: Sequence[Occurrence], wanted: Collection[Occurrence]
) -> set[Occurrence]:
    """The first of the ranked occurrences, up to one that is not wanted."""
    remaining = set(wanted)
    kept: set[Occurrence] = set()
    for place in ranked:
        if place not in remaining:
            break
        kept.add(place)
    return kept


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
            self._ranked[string] = _ranked(self.text, self._search(string)[0])
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
                ranked[string] = _ranked(text, places)
            wanted = [Occurrence(span.start, span.end) for span in group]
            kept = _first_wanted(ranked[string], wanted)
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
