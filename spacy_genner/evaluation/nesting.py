"""How the spans of a document lie in one another."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from ..errors import Errors
from ..formats import CharSpan


class Placed(NamedTuple):
    """A span of the reference or the prediction, and how it lies.

    document (int): The document's number, from 0.
    span (CharSpan): The span.
    in_gold (bool): Whether the reference holds it.
    in_predicted (bool): Whether the prediction does.
    depth (int): How many other spans contain it or have its range.
    holds (bool): Whether a shorter span lies in it.
    """

    document: int
    span: CharSpan
    in_gold: bool
    in_predicted: bool
    depth: int
    holds: bool


def place_spans(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[CharSpan]]
) -> list[Placed]:
    """Place the spans of documents, each once.

    Spans of the reference, and with them predictions that are right, are placed among
    the reference; wrong predictions among reference and prediction together.

    gold (Sequence[Sequence[CharSpan]]): The reference of each document.
    predicted (Sequence[Sequence[CharSpan]]): The prediction for each.
    RETURNS (List[Placed]): The spans of each document in turn.
    RAISES (ValueError): The numbers of documents differ.
    """
    if len(gold) != len(predicted):
        raise ValueError(Errors.G601.format(gold=len(gold), found=len(predicted)))
    placed = []
    for number, sides in enumerate(zip(gold, predicted, strict=True)):
        wanted, found = map(set, sides)
        ordered = sorted(wanted)
        for span, depth, holds in zip(ordered, *surroundings(ordered), strict=True):
            placed.append(Placed(number, span, True, span in found, depth, holds))
        if found <= wanted:
            continue
        ordered = sorted(wanted | found)
        for span, depth, holds in zip(ordered, *surroundings(ordered), strict=True):
            if span not in wanted:
                placed.append(Placed(number, span, False, True, depth, holds))
    return placed


def surroundings(ordered: Sequence[CharSpan]) -> tuple[list[int], list[bool]]:
    """How each span of a text lies among the others.

    ordered (Sequence[CharSpan]): The spans, sorted, each once.
    RETURNS (Tuple[List[int], List[bool]]): Of each, how many others contain it or have
        its range, and whether a shorter one lies in it.
    """
    depths, holds = [0] * len(ordered), [False] * len(ordered)
    # Most sentences hold spans side by side.
    if all(left.end < right.start for left, right in pairwise(ordered)):
        return depths, holds
    groups = _same_start(ordered)
    # Ends of the spans that start here or before, and have not ended before.
    ends: list[int] = []
    for first, stop in groups:
        del ends[: bisect_left(ends, ordered[first].start)]
        for span in ordered[first:stop]:
            insort(ends, span.end)
        for place in range(first, stop):
            depths[place] = len(ends) - bisect_left(ends, ordered[place].end) - 1
    # The least end of those that start further right.
    least = ordered[-1].end
    for first, stop in reversed(groups):
        shortest = ordered[first].end
        for place in range(first, stop):
            end = ordered[place].end
            holds[place] = shortest < end or (stop < len(ordered) and least <= end)
        least = min(least, shortest)
    return depths, holds


def _same_start(ordered: Sequence[CharSpan]) -> list[tuple[int, int]]:
    """The places at which spans of one start begin and end."""
    cuts = [
        place
        for place in range(1, len(ordered))
        if ordered[place].start != ordered[place - 1].start
    ]
    return list(pairwise([0, *cuts, len(ordered)]))
