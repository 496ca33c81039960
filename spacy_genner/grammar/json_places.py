"""Where the strings of a JSON output stand in one source."""

from collections.abc import Iterable, Sequence

from ..formats.occurrences import Place, choose, occurrences, sayable
from .output import Marked
from .source import Source


class Places:
    """The places of a source's strings. Spans are given in units.

    source (Source): The text.
    """

    def __init__(self, source: Source):
        self.source = source
        self._known: dict[str, list[Place]] = {}

    def said(self, start: int, end: int) -> str:
        """RETURNS (str): The text of some units."""
        return self.source.text[self.source.starts[start] : self.source.ends[end - 1]]

    def number(self, start: int, end: int) -> int:
        """RETURNS (int): Which occurrence of its text a span is, counted from 1."""
        place = self.source.starts[start]
        return [p.start for p in self._all(self.said(start, end))].index(place) + 1

    def chosen(self, entries: Sequence[Marked]) -> list[Marked]:
        """The places that entries mean which say no more than label and string.

        entries (Sequence[Marked]): The entries, each at any place of its string.
        RETURNS (List[Marked]): The same, at their places.
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
        entries = [Marked(*span, ()) for span in sorted(set(spans))]
        lost = []
        for (_, said), indices in self._grouped(entries).items():
            places = {self._place(entries[index]): index for index in indices}
            kept = sayable(self.source.text, self._aligned(said), places)
            lost += [places[place] for place in places.keys() - kept]
        return [entries[index][:3] for index in sorted(lost)]

    def doubtful(self, entries: Sequence[Marked]) -> list[Marked]:
        """The entries whose strings stand at more places than there are entries.

        entries (Sequence[Marked]): The entries of a complete output.
        RETURNS (List[Marked]): Those that may mean another place.
        """
        return [
            entries[index]
            for (_, said), indices in self._grouped(entries).items()
            if len(self._all(said)) > len(indices)
            for index in indices
        ]

    def _grouped(self, entries: Sequence[Marked]) -> dict[tuple[int, str], list[int]]:
        """Indices of the entries with one label and one string."""
        groups: dict[tuple[int, str], list[int]] = {}
        for index, entry in enumerate(entries):
            key = (entry.label, self.said(entry.start, entry.end))
            groups.setdefault(key, []).append(index)
        return groups

    def _all(self, said: str) -> list[Place]:
        if said not in self._known:
            self._known[said] = occurrences(self.source.text, said)
        return self._known[said]

    def _aligned(self, said: str) -> list[Place]:
        """The occurrences of a string between unit boundaries."""
        starts, ends = set(self.source.starts), set(self.source.ends)
        return [p for p in self._all(said) if p.start in starts and p.end in ends]

    def _place(self, entry: Marked) -> Place:
        starts, ends = self.source.starts, self.source.ends
        return Place(starts[entry.start], ends[entry.end - 1])

    def _units(self, place: Place) -> tuple[int, int]:
        start = self.source.starts.index(place.start)
        return start, self.source.ends.index(place.end) + 1
