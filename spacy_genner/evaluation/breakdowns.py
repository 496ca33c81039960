"""Scores of parts of the spans. Every breakdown's counts add up to the totals."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..errors import Errors
from ..formats import CharSpan
from .mentions import MENTIONS, Mentions
from .nesting import Placed
from .tally import Rows, rows, tally

NESTED, CONTAINING, ALONE = STRUCTURES = ("nested", "containing", "alone")
LENGTHS = ("1", "2", "3", "4-5", "6+")
# The least length of each bucket but the first.
_FROM = (2, 3, 4, 6)


class Classes(NamedTuple):
    """A way to part spans.

    names (Tuple[str, ...]): The classes, in order.
    of (Callable[[int, CharSpan], str]): The class of a span, by the document's number
        from 0 and the span.
    """

    names: tuple[str, ...]
    of: Callable[[int, CharSpan], str]


def length_classes(lengths: Sequence[Mapping[tuple[int, int], int]]) -> Classes:
    """Part spans by their length in tokens: 1, 2, 3, 4-5, 6+.

    lengths (Sequence[Mapping[Tuple[int, int], int]]): Of each document, range
        (characters) to number of tokens.
    RETURNS (Classes): The classes.
    """

    def of(document: int, span: CharSpan) -> str:
        length = lengths[document].get((span.start, span.end))
        if length is None:
            found = (span.start, span.end)
            raise ValueError(Errors.G614.format(range=found, document=document))
        return LENGTHS[bisect_right(_FROM, length)]

    return Classes(LENGTHS, of)


def mention_classes(texts: Sequence[str], mentions: Mentions) -> Classes:
    """Part spans by what the training data says of their text and label.

    texts (Sequence[str]): The documents' texts.
    mentions (Mentions): What is annotated in the training data.
    RETURNS (Classes): The classes.
    """

    def of(document: int, span: CharSpan) -> str:
        return mentions.kind(texts[document][span.start : span.end], span.label)

    return Classes(MENTIONS, of)


def break_down(
    placed: Sequence[Placed], others: Mapping[str, Classes] | None = None
) -> dict[str, Rows]:
    """Score the classes of several breakdowns.

    `by_structure`: a span is nested where another one contains it or has its range;
    containing where it is not nested and a shorter one lies in it; else alone.
    `by_depth`: how many others contain it or have its range, so that depth 0 is what
    is not nested. Among which spans, `place_spans` says.

    placed (Sequence[Placed]): What `place_spans` gave.
    others (Optional[Mapping[str, Classes]]): More breakdowns.
    RETURNS (Dict[str, Dict[str, Dict[str, float]]]): Of each breakdown and class `p`,
        `r`, `f`, `gold`, `predicted` and `correct`. Classes of `by_depth` are there
        from 0 to the deepest, the others all.
    """
    structures = tally(placed, map(_structure, placed))
    depths = tally(placed, (str(each.depth) for each in placed))
    deepest = max(map(int, depths), default=0)
    result = {
        "by_structure": rows(structures, STRUCTURES),
        "by_depth": rows(depths, map(str, range(deepest + 1))),
    }
    for name, classes in (others or {}).items():
        found = (classes.of(each.document, each.span) for each in placed)
        result[name] = rows(tally(placed, found), classes.names)
    return result


def _structure(placed: Placed) -> str:
    if placed.depth:
        return NESTED
    return CONTAINING if placed.holds else ALONE
