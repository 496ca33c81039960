"""Where a string stands in a text."""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """A stretch of a text: characters, end exclusive."""

    start: int
    end: int


def occurrences(text: str, string: str) -> list[Place]:
    """Every position at which a string starts, overlapping ones and those inside
    words too.

    text (str): The text.
    string (str): The string, not empty.
    RETURNS (List[Place]): The places, from left to right.
    """
    places, at = [], text.find(string)
    while at >= 0:
        places.append(Place(at, at + len(string)))
        at = text.find(string, at + 1)
    return places


def loose_occurrences(text: str, string: str) -> list[Place]:
    """Where a string stands but for case and white space.

    text (str): The text.
    string (str): The string.
    RETURNS (List[Place]): The places, from left to right; none for a string of white
        space.
    """
    signs = [re.escape(char) for char in string if not char.isspace()]
    if not signs:
        return []
    # Looked ahead at, so that places may overlap.
    pattern = "(?=(" + r"\s*".join(signs) + "))"
    found = re.finditer(pattern, text, re.IGNORECASE)
    return [Place(*match.span(1)) for match in found]


def stands_alone(text: str, place: Place) -> bool:
    """Whether a stretch of a text does not begin or end inside a word.

    text (str): The text.
    place (Place): The stretch, not empty.
    RETURNS (bool): Whether it stands alone.
    """
    before = place.start > 0 and _joined(text[place.start - 1], text[place.start])
    after = place.end < len(text) and _joined(text[place.end - 1], text[place.end])
    return not (before or after)


def _joined(left: str, right: str) -> bool:
    return (left.isalnum() or left == "_") and (right.isalnum() or right == "_")


def choose(text: str, places: Sequence[Place], count: int) -> list[Place]:
    """The places of so many entries that say no more than their string: those that
    stand alone as words come first.

    text (str): The text.
    places (Sequence[Place]): Where the string stands, from left to right.
    count (int): The number of entries.
    RETURNS (List[Place]): At most so many places, from left to right.
    """
    ranked = sorted(places, key=lambda place: not stands_alone(text, place))
    return sorted(ranked[:count])


def sayable(
    text: str, places: Sequence[Place], wanted: Collection[Place]
) -> set[Place]:
    """The most of some places that so many entries would be given by `choose`.

    text (str): The text.
    places (Sequence[Place]): Where the string stands, from left to right.
    wanted (Collection[Place]): Those that are meant.
    RETURNS (Set[Place]): Those of them that can be said.
    """
    kept = set(wanted)
    while kept:
        taken = set(choose(text, places, len(kept)))
        if taken == kept:
            break
        kept &= taken
    return kept
