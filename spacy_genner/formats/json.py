"""The JSON formats: category-grouped, occurrence-based and offset-based."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .base import CharSpan, Format, Issue, Parsed, ordered
from .json_reader import Value, read_values


class Occurrence(NamedTuple):
    """A stretch of a text: characters, end exclusive."""

    start: int
    end: int


def occurrences(text: str, string: str) -> list[Occurrence]:
    """Every position at which a string starts, overlapping ones and those inside
    words too.

    text (str): The text.
    string (str): The string, not empty.
    RETURNS (List[Occurrence]): The places, from left to right.
    """
    places, at = [], text.find(string)
    while at >= 0:
        places.append(Occurrence(at, at + len(string)))
        at = text.find(string, at + 1)
    return places


def loose_occurrences(text: str, string: str) -> list[Occurrence]:
    """Where a string stands but for case and white space.

    text (str): The text.
    string (str): The string.
    RETURNS (List[Occurrence]): The places, from left to right; none for a string of white
        space.
    """
    signs = [re.escape(char) for char in string if not char.isspace()]
    if not signs:
        return []
    # Looked ahead at, so that places may overlap.
    pattern = "(?=(" + r"\s*".join(signs) + "))"
    found = re.finditer(pattern, text, re.IGNORECASE)
    return [Occurrence(*match.span(1)) for match in found]


def stands_alone(text: str, place: Occurrence) -> bool:
    """Whether a stretch of a text does not begin or end inside a word.

    text (str): The text.
    place (Occurrence): The stretch, not empty.
    RETURNS (bool): Whether it stands alone.
    """
    before = place.start > 0 and _joined(text[place.start - 1], text[place.start])
    after = place.end < len(text) and _joined(text[place.end - 1], text[place.end])
    return not (before or after)


def _joined(left: str, right: str) -> bool:
    return (left.isalnum() or left == "_") and (right.isalnum() or right == "_")


def choose(text: str, places: Sequence[Occurrence], count: int) -> list[Occurrence]:
    """The places of so many entries that say no more than their string: those that
    stand alone as words come first.

    text (str): The text.
    places (Sequence[Occurrence]): Where the string stands, from left to right.
    count (int): The number of entries.
    RETURNS (List[Occurrence]): At most so many places, from left to right.
    """
    ranked = sorted(places, key=lambda place: not stands_alone(text, place))
    return sorted(ranked[:count])


def sayable(
    text: str, places: Sequence[Occurrence], wanted: Collection[Occurrence]
) -> set[Occurrence]:
    """The most of some places that so many entries would be given by `choose`.

    text (str): The text.
    places (Sequence[Occurrence]): Where the string stands, from left to right.
    wanted (Collection[Occurrence]): Those that are meant.
    RETURNS (Set[Occurrence]): Those of them that can be said.
    """
    kept = set(wanted)
    while kept:
        taken = set(choose(text, places, len(kept)))
        if taken == kept:
            break
        kept &= taken
    return kept


class JsonFormat(Format):
    """A format whose output is `json.dumps(..., ensure_ascii=False)` of the spans.

    Labels may be any string but the empty one, and spans may cross.
    """

    allows_crossing = True
    label_rule = "a string that is not empty"

    def is_legal(self, label: str) -> bool:
        return bool(label)

    def written(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> str:
        return json.dumps(self.content(text, spans, labels), ensure_ascii=False)

    def parse(
        self, output: str, text: str, labels: Sequence[str] | None = None
    ) -> Parsed:
        values, issues = read_values(output)
        reading = Reading(text, labels, issues)
        self.read(values, reading)
        issues.sort(key=lambda issue: (issue.start, issue.end, issue.code))
        spans = ordered(reading.spans, labels)
        if (
            not issues
            and self.render(text, spans, self.order(values, labels)) != output
        ):
            message = "order, keys or spacing are not as they are to be"
            issues.append(Issue("bad_json", message, 0, len(output)))
        return Parsed(spans, issues)

    def content(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> Any:
        """RETURNS (Any): What is written for spans that are in order."""
        raise AssertionError("abstract")

    def read(self, values: Sequence[Value], reading: "Reading") -> None:
        """Add the spans of an output's values to a reading."""
        raise AssertionError("abstract")

    def order(
        self, values: Sequence[Value], labels: Sequence[str] | None
    ) -> Sequence[str] | None:
        """RETURNS (Optional[Sequence[str]]): The order of labels that holds an output
        to what `render` gives."""
        return labels


class Reading:
    """The spans of an output as they are found.

    text (str): The source.
    labels (Optional[Sequence[str]]): The labels there are; None for any.
    issues (List[Issue]): What was wrong; grows.
    """

    def __init__(self, text: str, labels: Sequence[str] | None, issues: list[Issue]):
        self.text = text
        self.labels = labels
        self.issues = issues
        # Their order is of no account; a dict finds one at once.
        self.spans: dict[CharSpan, None] = {}
        self._known: dict[str, list[Occurrence]] = {}

    def note(self, code: str, message: str, value: Value) -> None:
        """Report something about a value.

        code (str): The issue's code.
        message (str): What it is.
        value (Value): The value.
        """
        self.issues.append(Issue(code, message, value.start, value.end))

    def add(self, place: Occurrence, label: str, value: Value) -> None:
        """Add a span, or report that it was there already.

        place (Occurrence): Its place.
        label (str): Its label.
        value (Value): The value that says it.
        """
        span = CharSpan(*place, label)
        if span in self.spans:
            said = self.text[place.start : place.end]
            self.note("duplicate", f"{label} over {said!r} again", value)
        else:
            self.spans[span] = None

    def knows(self, label: str, value: Value) -> bool:
        """Whether a label is among those there are; reported where it is not.

        label (str): The label.
        value (Value): The value that says it.
        RETURNS (bool): Whether it is.
        """
        if not label:
            self.note("unknown_label", "a label is empty", value)
        elif self.labels is not None and label not in self.labels:
            self.note("unknown_label", f"{label!r} is not among the labels", value)
        else:
            return True
        return False

    def places(self, string: Any, value: Value) -> list[Occurrence]:
        """Where a string stands in the source; reported where it stands nowhere, or
        otherwise than it is written.

        string (Any): The string.
        value (Value): The value that says it.
        RETURNS (List[Occurrence]): The places, from left to right.
        """
        exact, loose = self._found(string) if isinstance(string, str) else ([], [])
        if not exact and not loose:
            self.note("not_in_text", f"{string!r} is not in the text", value)
        elif not exact:
            first = self.text[loose[0].start : loose[0].end]
            self.note("copy_differs", f"{string!r} stands for {first!r}", value)
        return exact or loose

    def _found(self, string: str) -> tuple[list[Occurrence], list[Occurrence]]:
        stripped = string.strip()
        if not stripped:
            return [], []
        if stripped not in self._known:
            self._known[stripped] = occurrences(self.text, stripped)
        exact = self._known[stripped]
        if stripped == string and exact:
            return exact, []
        return [], exact or loose_occurrences(self.text, stripped)


class GroupedJson(JsonFormat):
    """An object with a list of texts under each label.

    The k-th entry of a string under a label takes its k-th occurrence. Where there are
    fewer entries than occurrences, those that stand alone as words come first.
    """

    name = "grouped_json"

    def content(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> dict[str, list[str]]:
        """RETURNS (Dict[str, List[str]]): The texts of the spans by label."""
        groups: dict[str, list[str]] = {label: [] for label in labels or ()}
        for label in sorted({span.label for span in spans} - set(groups)):
            groups[label] = []
        for span in spans:
            groups[span.label].append(text[span.start : span.end])
        return groups

    def unsayable(self, text: str, spans: Iterable[CharSpan]) -> list[CharSpan]:
        """The spans whose entries would take another occurrence of their string.

        text (str): The text.
        spans (Iterable[CharSpan]): The spans.
        RETURNS (List[CharSpan]): The lost ones, in order.
        """
        groups: dict[tuple[str, str], list[CharSpan]] = {}
        for span in ordered(set(spans)):
            said = text[span.start : span.end]
            groups.setdefault((span.label, said), []).append(span)
        lost = []
        for (_, said), group in groups.items():
            places = [Occurrence(span.start, span.end) for span in group]
            kept = sayable(text, occurrences(text, said), places)
            lost += [
                span for span in group if Occurrence(span.start, span.end) not in kept
            ]
        return ordered(lost)

    def read(self, values: Sequence[Value], reading: Reading) -> None:
        """Add the spans of an output's values to a reading.

        values (Sequence[Value]): The outermost values.
        reading (Reading): The reading.
        """
        entries: dict[tuple[str, str], list[Value]] = {}
        for label, key, value in _groups(values):
            if not reading.knows(label, key):
                continue
            items = [item for _, item in value.items]
            if value.kind == "string":
                reading.note("bad_json", f"{label!r} has no list", value)
                items = [value]
            elif value.kind != "list":
                reading.note("bad_json", f"{label!r} has no list", value)
                items = []
            for item in items:
                if item.kind != "string":
                    reading.note("bad_json", f"an entry of {label!r} is no text", item)
                elif item.closed:
                    entries.setdefault((label, item.content), []).append(item)
        for (label, said), items in entries.items():
            self._place(label, said, items, reading)

    def _place(
        self, label: str, said: str, items: list[Value], reading: Reading
    ) -> None:
        places = reading.places(said, items[0])
        taken = choose(reading.text, places, len(items))
        if len(taken) < len(places):
            message = f"{said!r} is listed {len(items)} times of {len(places)}"
            reading.note("ambiguous_place", message, items[0])
        for item, place in zip(items, taken, strict=False):
            reading.add(place, label, item)
        for item in items[len(places) :] if places else ():
            message = f"{said!r} ({label}) is listed more often than it occurs"
            reading.note("duplicate", message, item)

    def order(
        self, values: Sequence[Value], labels: Sequence[str] | None
    ) -> Sequence[str] | None:
        """RETURNS (Optional[Sequence[str]]): The labels, or those of the output."""
        return labels or [label for label, _, _ in _groups(values)]


def _groups(values: Sequence[Value]) -> Iterator[tuple[str, Value, Value]]:
    """Labels, their places, and what is listed under them."""
    for outer in values:
        for value in outer.walk():
            if value.kind != "object":
                continue
            for key, item in value.items:
                # A wrapper, {"entities": {...}}, is no label.
                if key is not None and item.kind != "object":
                    yield str(key.content), key, item


class ListedFormat(JsonFormat):
    """A list of objects with `text`, `label`, and what says the place.

    place_keys (Tuple[str, ...]): The keys that say the place.
    """

    place_keys: tuple[str, ...]

    def content(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> list[dict[str, Any]]:
        """RETURNS (List[Dict[str, Any]]): One object a span."""
        return [
            {
                "text": text[span.start : span.end],
                "label": span.label,
                **self.said_place(text, span),
            }
            for span in spans
        ]

    def read(self, values: Sequence[Value], reading: Reading) -> None:
        """Add the spans of an output's values to a reading.

        values (Sequence[Value]): The outermost values.
        reading (Reading): The reading.
        """
        for outer in values:
            for value in outer.walk():
                if value.kind == "object" and any(
                    value.get(key) for key in ("text", "label")
                ):
                    self._read_entry(value, reading)

    def _read_entry(self, entry: Value, reading: Reading) -> None:
        text, label = entry.get("text"), entry.get("label")
        for key, value in (("text", text), ("label", label)):
            if value is None or value.kind != "string":
                reading.note("bad_json", f"an entry has no string as {key!r}", entry)
                return
            if not value.closed:
                # The end of the output, which is reported, is inside it.
                return
        assert text is not None and label is not None
        if not reading.knows(label.content, label):
            return
        places = reading.places(text.content, text)
        if not places:
            return
        said: list[int | None] = []
        for key in self.place_keys:
            value = entry.get(key)
            number = None if value is None else _whole(value)
            if number is None:
                message = f"an entry has no whole number as {key!r}"
                reading.note("bad_json", message, value or entry)
            said.append(number)
        place = self.find_place(places, said, entry, reading)
        if place is None:
            place = choose(reading.text, places, 1)[0]
            if len(places) > 1:
                message = f"{text.content!r} stands at {len(places)} places"
                reading.note("ambiguous_place", message, entry)
        reading.add(place, label.content, entry)

    def said_place(self, text: str, span: CharSpan) -> dict[str, int]:
        """RETURNS (Dict[str, int]): What says the place of a span."""
        raise AssertionError("abstract")

    def find_place(
        self,
        places: list[Occurrence],
        said: list[int | None],
        entry: Value,
        reading: Reading,
    ) -> Occurrence | None:
        """Find the place that an entry means, and report where it says another.

        places (List[Occurrence]): Where its text stands, at least one.
        said (List[Optional[int]]): Its numbers, by `place_keys`.
        entry (Value): The entry.
        reading (Reading): Takes the issues.
        RETURNS (Optional[Occurrence]): The place, None where it says none.
        """
        raise AssertionError("abstract")


def _whole(value: Value) -> int | None:
    content = value.content
    if value.kind == "string" and content.strip().isdecimal() and len(content) < 16:
        return int(content)
    return content if value.kind == "number" else None


class OccurrenceJson(ListedFormat):
    """A list of objects whose number counts the occurrences of the text from 1."""

    name = "occurrence_json"
    place_keys = ("occurrence_index",)

    def said_place(self, text: str, span: CharSpan) -> dict[str, int]:
        """RETURNS (Dict[str, int]): Which occurrence of its text a span is."""
        places = occurrences(text, text[span.start : span.end])
        return {"occurrence_index": places.index(Occurrence(span.start, span.end)) + 1}

    def find_place(
        self,
        places: list[Occurrence],
        said: list[int | None],
        entry: Value,
        reading: Reading,
    ) -> Occurrence | None:
        """RETURNS (Optional[Occurrence]): The occurrence of that number, or the last one
        where there are fewer."""
        (index,) = said
        if index is None:
            return None
        nearest = min(max(index, 1), len(places))
        if nearest != index:
            message = f"there is no occurrence {index} of {len(places)}"
            reading.note("ambiguous_place", message, entry)
        return places[nearest - 1]


class OffsetJson(ListedFormat):
    """A list of objects with offsets in characters, end exclusive."""

    name = "offset_json"
    place_keys = ("start", "end")

    def said_place(self, text: str, span: CharSpan) -> dict[str, int]:
        """RETURNS (Dict[str, int]): Start and end of a span."""
        return {"start": span.start, "end": span.end}

    def find_place(
        self,
        places: list[Occurrence],
        said: list[int | None],
        entry: Value,
        reading: Reading,
    ) -> Occurrence | None:
        """RETURNS (Optional[Occurrence]): The occurrence of the text nearest to what the
        entry says, of equals the left one."""
        start, end = said
        if start is None and end is None:
            return None

        def distance(place: Occurrence) -> int:
            if start is None:
                assert end is not None
                return abs(place.end - end)
            return abs(place.start - start)

        place = min(places, key=distance)
        if None not in said and place != (start, end):
            message = f"{start} to {end} moved to {place.start} to {place.end}"
            reading.note("offset_moved", message, entry)
        return place
