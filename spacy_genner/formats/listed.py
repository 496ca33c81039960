"""JSON formats with one object a span."""

from collections.abc import Sequence
from typing import Any

from .json_format import JsonFormat, Reading
from .json_reading import Value
from .occurrences import Place, choose
from .spans import CharSpan


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
        places: list[Place],
        said: list[int | None],
        entry: Value,
        reading: Reading,
    ) -> Place | None:
        """Find the place that an entry means, and report where it says another.

        places (List[Place]): Where its text stands, at least one.
        said (List[Optional[int]]): Its numbers, by `place_keys`.
        entry (Value): The entry.
        reading (Reading): Takes the issues.
        RETURNS (Optional[Place]): The place, None where it says none.
        """
        raise AssertionError("abstract")


def _whole(value: Value) -> int | None:
    content = value.content
    if value.kind == "string" and content.strip().isdecimal() and len(content) < 16:
        return int(content)
    return content if value.kind == "number" else None
