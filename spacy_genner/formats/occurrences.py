"""The occurrences of a string in a text.

Formats that list the strings of entities find their places in the text, exactly or with
equivalent characters, and choose among several.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from typing import NamedTuple

from .folding import Folded, fold

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
    return sorted(rank(text, places)[:count])


def rank(text: str, places: Sequence[Occurrence]) -> list[Occurrence]:
    """Sort occurrences in the order in which `choose` takes them.

    text (str): The text.
    places (Sequence[Occurrence]): The occurrences of the string, from left to right.
    RETURNS (list[Occurrence]): Those that stand alone as words, and then the others.
    """
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
    return wanted_prefix(rank(text, places), wanted)


def wanted_prefix(
    order: Sequence[Occurrence], wanted: Collection[Occurrence]
) -> set[Occurrence]:
    """Take the first of some ranked occurrences, up to one that is not wanted.

    order (Sequence[Occurrence]): The result of `rank`.
    wanted (Collection[Occurrence]): The occurrences that are wanted.
    RETURNS (set[Occurrence]): The occurrences before the first unwanted one.
    """
    remaining = set(wanted)
    kept: set[Occurrence] = set()
    for place in order:
        if place not in remaining:
            break
        kept.add(place)
    return kept
