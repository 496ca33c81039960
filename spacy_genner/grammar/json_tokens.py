"""The token ids of the JSON formats, and the occurrences of strings in a source."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import Errors
from ..formats.occurrences import Occurrence, choose, occurrences, representable
from .base import Encode, MarkedSpan, Source, WordSpan

Ids = tuple[int, ...]

GROUPED, OCCURRENCE, OFFSET = "grouped_json", "occurrence_json", "offset_json"
_PLACE_KEY = {OCCURRENCE: "occurrence_index", OFFSET: "start"}


@dataclass(frozen=True)
class JsonTokens:
    """The fixed parts of a JSON format for a set of labels, each encoded separately.

    An entry is the string of a span with everything that describes the span. The parts
    overlap the punctuation of its neighbours: `list_start`, for example, is
    `[{"text": "`.

    format (str): The name of the format.
    labels (tuple[str, ...]): The labels. Outputs refer to them by index.
    empty_list (tuple[int, ...]): A list without entries.
    list_start (tuple[int, ...]): From the start of a list to its first string.
    next_entry (tuple[int, ...]): From the end of an entry to the string of the next
        one.
    list_end (tuple[int, ...]): From the end of an entry to the end of the list.
    string_end (tuple[int, ...]): From the end of a string to its label. Empty if the
        format is grouped.
    label_parts (tuple[tuple[int, ...], ...]): For each label, from its start to the
        first number of the place. If the format is grouped, the part before its list.
    between_numbers (tuple[int, ...]): From the first number of a place to the second.
        Empty if there is only one.
    output_end (tuple[int, ...]): The part after the list of the last label. Empty
        unless the format is grouped.
    """

    format: str
    labels: tuple[str, ...]
    empty_list: Ids
    list_start: Ids
    next_entry: Ids
    list_end: Ids
    string_end: Ids
    label_parts: tuple[Ids, ...]
    between_numbers: Ids
    output_end: Ids


def make_json_tokens(name: str, labels: Sequence[str], encode: Encode) -> JsonTokens:
    """Encode the fixed parts of a JSON format.

    name (str): The name of the format.
    labels (Sequence[str]): The labels, in order.
    encode (Callable[[str], Sequence[int]]): Encodes a piece of text as data.
    RETURNS (JsonTokens): The token ids.
    RAISES (ValueError): If the tokenizer cannot distinguish two labels.
    """

    def ids(text: str) -> Ids:
        return tuple(encode(text))

    escaped = [_escaped(label) for label in labels]
    if name == GROUPED:
        return JsonTokens(
            format=name,
            labels=tuple(labels),
            empty_list=ids("[]"),
            list_start=ids('["'),
            next_entry=ids('", "'),
            list_end=ids('"]'),
            string_end=(),
            label_parts=tuple(
                ids(f'{", " if index else "{"}"{label}": ')
                for index, label in enumerate(escaped)
            ),
            between_numbers=(),
            output_end=ids("}"),
        )
    label_ids = [ids(label) for label in escaped]
    for index, label in enumerate(label_ids):
        if label in label_ids[:index]:
            other = labels[label_ids.index(label)]
            raise ValueError(
                Errors.G101.format(mark=labels[index], ids=list(label), others=[other])
            )
    to_number = ids(f'", "{_PLACE_KEY[name]}": ')
    return JsonTokens(
        format=name,
        labels=tuple(labels),
        empty_list=ids("[]"),
        list_start=ids('[{"text": "'),
        next_entry=ids('}, {"text": "'),
        list_end=ids("}]"),
        string_end=ids('", "label": "'),
        label_parts=tuple(label + to_number for label in label_ids),
        between_numbers=ids(', "end": ') if name == OFFSET else (),
        output_end=(),
    )


def word_string_ids(source: Source, encode: Encode) -> tuple[list[Ids], list[Ids]]:
    """Encode the words of a source as parts of JSON strings.

    source (Source): The source.
    encode (Callable[[str], Sequence[int]]): Encodes a piece of text as data.
    RETURNS (tuple[list[Ids], list[Ids]]): The ids of each word as the first word of a
        string, without the space before it, and as a later word of a string.
    """
    first, later = [], []
    for word, piece in enumerate(source.word_texts):
        bare = source.text[source.starts[word] : source.ends[word]]
        first.append(tuple(encode(_escaped(bare))))
        escaped = _escaped(piece)
        later.append(source.ids[word] if escaped == piece else tuple(encode(escaped)))
    return first, later


def _escaped(text: str) -> str:
    """The text with the escapes of a JSON string, without the quotes."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


class OccurrenceTable:
    """The occurrences of strings in a source, as ranges of words.

    An occurrence may start or end inside a word. It counts, but no span is placed
    there.

    source (Source): The source.
    """

    def __init__(self, source: Source):
        self.source = source
        self._found: dict[str, list[Occurrence]] = {}

    def number(self, start: int, end: int) -> int:
        """Number a range of words among the occurrences of its string.

        start (int): The first word.
        end (int): The word after the last.
        RETURNS (int): The number, counted from 1.
        """
        offset = self.source.starts[start]
        found = self._occurrences(self._string(start, end))
        return [occurrence.start for occurrence in found].index(offset) + 1

    def assign(self, entries: Sequence[MarkedSpan]) -> list[MarkedSpan]:
        """Assign entries that consist of label and string to occurrences of the string.

        entries (Sequence[MarkedSpan]): The entries, each at any occurrence.
        RETURNS (list[MarkedSpan]): The entries at their occurrences.
        """
        assigned = list(entries)
        for (_, string), indices in self._by_string(entries).items():
            places = self._at_boundaries(string)
            chosen = choose(self.source.text, places, len(indices))
            for index, place in zip(indices, chosen, strict=True):
                start = self.source.starts.index(place.start)
                end = self.source.ends.index(place.end) + 1
                assigned[index] = entries[index]._replace(start=start, end=end)
        return assigned

    def unsayable(self, spans: Iterable[WordSpan]) -> list[WordSpan]:
        """Find the spans that `assign` would move to another occurrence.

        spans (Iterable[tuple[int, int, int]]): The spans: first word, word after the
            last, label index.
        RETURNS (list[tuple[int, int, int]]): The spans that are not representable.
        """
        starts, ends = self.source.starts, self.source.ends
        entries = [MarkedSpan(*span, ()) for span in sorted(set(spans))]
        lost = []
        for (_, string), indices in self._by_string(entries).items():
            wanted = {}
            for index in indices:
                entry = entries[index]
                wanted[Occurrence(starts[entry.start], ends[entry.end - 1])] = index
            places = self._at_boundaries(string)
            kept = representable(self.source.text, places, wanted)
            lost += [wanted[place] for place in wanted.keys() - kept]
        return [entries[index][:3] for index in sorted(lost)]

    def ambiguous(self, entries: Sequence[MarkedSpan]) -> list[MarkedSpan]:
        """Find the entries whose string has more occurrences than entries.

        entries (Sequence[MarkedSpan]): The entries of a complete output.
        RETURNS (list[MarkedSpan]): The ambiguous ones.
        """
        return [
            entries[index]
            for (_, string), indices in self._by_string(entries).items()
            if len(self._occurrences(string)) > len(indices)
            for index in indices
        ]

    def _by_string(
        self, entries: Sequence[MarkedSpan]
    ) -> dict[tuple[int, str], list[int]]:
        """The indices of the entries by label and string."""
        groups: dict[tuple[int, str], list[int]] = {}
        for index, entry in enumerate(entries):
            key = (entry.label, self._string(entry.start, entry.end))
            groups.setdefault(key, []).append(index)
        return groups

    def _string(self, start: int, end: int) -> str:
        return self.source.text[self.source.starts[start] : self.source.ends[end - 1]]

    def _occurrences(self, string: str) -> list[Occurrence]:
        if string not in self._found:
            self._found[string] = occurrences(self.source.text, string)
        return self._found[string]

    def _at_boundaries(self, string: str) -> list[Occurrence]:
        """The occurrences that start and end at word boundaries of the source."""
        starts, ends = set(self.source.starts), set(self.source.ends)
        found = self._occurrences(string)
        return [place for place in found if place.start in starts and place.end in ends]
