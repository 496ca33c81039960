"""`[{"text": "Lisbon", "label": "GPE", "start": 31, "end": 37}]`."""

from .json_format import Reading
from .json_reading import Value
from .listed import ListedFormat
from .occurrences import Place
from .spans import CharSpan


class OffsetJson(ListedFormat):
    """A list of objects with offsets in characters, end exclusive."""

    name = "offset_json"
    place_keys = ("start", "end")

    def said_place(self, text: str, span: CharSpan) -> dict[str, int]:
        """RETURNS (Dict[str, int]): Start and end of a span."""
        return {"start": span.start, "end": span.end}

    def find_place(
        self,
        places: list[Place],
        said: list[int | None],
        entry: Value,
        reading: Reading,
    ) -> Place | None:
        """RETURNS (Optional[Place]): The occurrence of the text nearest to what the
        entry says, of equals the left one."""
        start, end = said
        if start is None and end is None:
            return None

        def distance(place: Place) -> int:
            if start is None:
                assert end is not None
                return abs(place.end - end)
            return abs(place.start - start)

        place = min(places, key=distance)
        if None not in said and place != (start, end):
            message = f"{start} to {end} moved to {place.start} to {place.end}"
            reading.note("offset_moved", message, entry)
        return place
