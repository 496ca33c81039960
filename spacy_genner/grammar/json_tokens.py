"""Token ids of JSON punctuation and labels, and the occurrences of strings in the source."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import Errors
from ..formats.json import Occurrence, choose, occurrences, representable
from .base import Encode, MarkedSpan, Source

Ids = tuple[int, ...]

GROUPED, OCCURRENCE, OFFSET = "grouped_json", "occurrence_json", "offset_json"
_PLACE_KEY = {OCCURRENCE: "occurrence_index", OFFSET: "start"}


@dataclass(frozen=True)
class JsonTokens:
    """The fixed parts of a JSON format for one set of labels under one tokenizer. Each
    is encoded by itself.

    format (str): The format's name.
    labels (Tuple[str, ...]): The labels; outputs name them by index.
    empty (Ids): An empty list.
    first (Ids): From the start of a list to that of its first text.
    more (Ids): From the end of an entry to the text of the next one.
    stop (Ids): From the end of an entry to that of the list.
    closing (Ids): From the end of a text to its label; empty for the grouped format.
    named (Tuple[Ids, ...]): For each label, itself and what follows up to the number
        that says the place; in the grouped format what stands before the label's list.
    between (Ids): From the first number of a place to the second; may be empty.
    end (Ids): What stands after the last label's list; may be empty.
    """

    format: str
    labels: tuple[str, ...]
    empty: Ids
    first: Ids
    more: Ids
    stop: Ids
    closing: Ids
    named: tuple[Ids, ...]
    between: Ids
    end: Ids


def make_json_tokens(name: str, labels: Sequence[str], encode: Encode) -> JsonTokens:
    """Encode the fixed parts of a JSON format.

    name (str): The format's name.
    labels (Sequence[str]): The labels, in their order.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    RETURNS (JsonTokens): The pieces.
    RAISES (ValueError): Two labels can't be told apart under the tokenizer.
    """

    def ids(text: str) -> Ids:
        return tuple(encode(text))

    written = [escaped(label) for label in labels]
    if name == GROUPED:
        named = tuple(
            ids(f'{"{" if place == 0 else ", "}"{label}": ')
            for place, label in enumerate(written)
        )
        return JsonTokens(
            format=name,
            labels=tuple(labels),
            empty=ids("[]"),
            first=ids('["'),
            more=ids('", "'),
            stop=ids('"]'),
            closing=(),
            named=named,
            between=(),
            end=ids("}"),
        )
    follows = ids(f'", "{_PLACE_KEY[name]}": ')
    label_ids = [ids(label) for label in written]
    for place, label in enumerate(label_ids):
        if label in label_ids[:place]:
            other = labels[label_ids.index(label)]
            raise ValueError(
                Errors.G101.format(mark=labels[place], ids=list(label), others=[other])
            )
    return JsonTokens(
        format=name,
        labels=tuple(labels),
        empty=ids("[]"),
        first=ids('[{"text": "'),
        more=ids('}, {"text": "'),
        stop=ids("}]"),
        closing=ids('", "label": "'),
        named=tuple(label + follows for label in label_ids),
        between=ids(', "end": ') if name == OFFSET else (),
        end=(),
    )


def escaped(text: str) -> str:
    """RETURNS (str): A text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def string_ids(source: Source, encode: Encode) -> tuple[list[Ids], list[Ids]]:
    """Encode the units of a source as parts of JSON strings.

    source (Source): The source.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    RETURNS (Tuple[List[Ids], List[Ids]]): The ids of each unit where a string starts
        with it, without the white space before it, and where a string goes on with it.
    """
    starting, going_on = [], []
    for unit, piece in enumerate(source.pieces):
        word = source.text[source.starts[unit] : source.ends[unit]]
        starting.append(tuple(encode(escaped(word))))
        said = escaped(piece)
        going_on.append(source.ids[unit] if said == piece else tuple(encode(said)))
    return starting, going_on


class OccurrenceTable:
    """The places of a source's strings. Spans are given in units.

    source (Source): The text.
    """

    def __init__(self, source: Source):
        self.source = source
        self._known: dict[str, list[Occurrence]] = {}

    def said(self, start: int, end: int) -> str:
        """RETURNS (str): The text of some units."""
        return self.source.text[self.source.starts[start] : self.source.ends[end - 1]]

    def number(self, start: int, end: int) -> int:
        """RETURNS (int): Which occurrence of its text a span is, counted from 1."""
        place = self.source.starts[start]
        return [p.start for p in self._all(self.said(start, end))].index(place) + 1

    def chosen(self, entries: Sequence[MarkedSpan]) -> list[MarkedSpan]:
        """The places that entries mean which say no more than label and string.

        entries (Sequence[MarkedSpan]): The entries, each at any place of its string.
        RETURNS (List[MarkedSpan]): The same, at their places.
        """
        placed = list(entries)
        for (_, said), indices in self._grouped(entries).items():
            chosen = choose(self.source.text, self._aligned(said), len(indices))
            for index, place in zip(indices, chosen, strict=True):
                start, end = self._units(place)
                placed[index] = entries[index]._replace(start=start, end=end)
        return placed

    def lost(self, spans: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """The spans that entries of label and string alone would say of another place.

        spans (Iterable[Tuple[int, int, int]]): First unit, unit after the last, and
            label index of each.
        RETURNS (List[Tuple[int, int, int]]): Those that are lost.
        """
        entries = [MarkedSpan(*span, ()) for span in sorted(set(spans))]
        lost = []
        for (_, said), indices in self._grouped(entries).items():
            places = {self._place(entries[index]): index for index in indices}
            kept = representable(self.source.text, self._aligned(said), places)
            lost += [places[place] for place in places.keys() - kept]
        return [entries[index][:3] for index in sorted(lost)]

    def doubtful(self, entries: Sequence[MarkedSpan]) -> list[MarkedSpan]:
        """The entries whose strings stand at more places than there are entries.

        entries (Sequence[MarkedSpan]): The entries of a complete output.
        RETURNS (List[MarkedSpan]): Those that may mean another place.
        """
        return [
            entries[index]
            for (_, said), indices in self._grouped(entries).items()
            if len(self._all(said)) > len(indices)
            for index in indices
        ]

    def _grouped(
        self, entries: Sequence[MarkedSpan]
    ) -> dict[tuple[int, str], list[int]]:
        """Indices of the entries with one label and one string."""
        groups: dict[tuple[int, str], list[int]] = {}
        for index, entry in enumerate(entries):
            key = (entry.label, self.said(entry.start, entry.end))
            groups.setdefault(key, []).append(index)
        return groups

    def _all(self, said: str) -> list[Occurrence]:
        if said not in self._known:
            self._known[said] = occurrences(self.source.text, said)
        return self._known[said]

    def _aligned(self, said: str) -> list[Occurrence]:
        """The occurrences of a string between unit boundaries."""
        starts, ends = set(self.source.starts), set(self.source.ends)
        return [p for p in self._all(said) if p.start in starts and p.end in ends]

    def _place(self, entry: MarkedSpan) -> Occurrence:
        starts, ends = self.source.starts, self.source.ends
        return Occurrence(starts[entry.start], ends[entry.end - 1])

    def _units(self, place: Occurrence) -> tuple[int, int]:
        start = self.source.starts.index(place.start)
        return start, self.source.ends.index(place.end) + 1
