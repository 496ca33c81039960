"""`[{"text": "Lisbon", "label": "GPE", "occurrence_index": 2}]`."""

from .json_format import Reading
from .json_reading import Value
from .listed import ListedFormat
from .occurrences import Place, occurrences
from .spans import CharSpan


class OccurrenceJson(ListedFormat):
    """A list of objects whose number counts the occurrences of the text from 1."""

    name = "occurrence_json"
    place_keys = ("occurrence_index",)

    def said_place(self, text: str, span: CharSpan) -> dict[str, int]:
        """RETURNS (Dict[str, int]): Which occurrence of its text a span is."""
        places = occurrences(text, text[span.start : span.end])
        return {"occurrence_index": places.index(Place(span.start, span.end)) + 1}

    def find_place(
        self,
        places: list[Place],
        said: list[int | None],
        entry: Value,
        reading: Reading,
    ) -> Place | None:
        """RETURNS (Optional[Place]): The occurrence of that number, or the last one
        where there are fewer."""
        (index,) = said
        if index is None:
            return None
        nearest = min(max(index, 1), len(places))
        if nearest != index:
            message = f"there is no occurrence {index} of {len(places)}"
            reading.note("ambiguous_place", message, entry)
        return places[nearest - 1]
