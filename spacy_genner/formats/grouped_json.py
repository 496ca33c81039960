"""`{"ORG": ["University of Lisbon"], "GPE": ["Lisbon", "Lisbon"]}`."""

from collections.abc import Iterable, Iterator, Sequence

from .json_format import JsonFormat, Reading
from .json_reading import Value
from .occurrences import Place, choose, occurrences, sayable
from .spans import CharSpan, ordered


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
            places = [Place(span.start, span.end) for span in group]
            kept = sayable(text, occurrences(text, said), places)
            lost += [span for span in group if Place(span.start, span.end) not in kept]
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
