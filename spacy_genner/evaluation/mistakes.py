"""What kind of mistake each wrong prediction and each missed span is."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from ..formats import CharSpan

LABEL, BOUNDARY, BOTH = ("label", "boundary", "boundary_and_label")
MISSED, INVENTED = ("missed", "invented")
MISTAKES = (LABEL, BOUNDARY, BOTH, MISSED, INVENTED)


class Mistake(NamedTuple):
    """A missed span of the reference, a wrong prediction, or both as a pair.

    kind (str): "label", "boundary" or "boundary_and_label" of a pair; "missed" or
        "invented" of what is left.
    gold (Optional[CharSpan]): The missed span.
    predicted (Optional[CharSpan]): The wrong prediction.
    """

    kind: str
    gold: CharSpan | None
    predicted: CharSpan | None


def find_mistakes(
    gold: Iterable[CharSpan], predicted: Iterable[CharSpan]
) -> list[Mistake]:
    """Pair the missed spans of a document with its wrong predictions, one to one.

    Pairs are taken in this order, each where both spans are still free: same range
    (label error); overlap and same label (boundary error); overlap and another label
    (both). Among pairs of one kind the greater overlap goes first, as the share of the
    characters of both (Jaccard), then the earlier span of the reference, then the
    earlier prediction: by start, end and label. So the order of the spans changes
    nothing. What stays free is missed or invented; it may still overlap a span that is
    right, as one in a longer span that was found does, or one that has its partner.

    gold (Iterable[CharSpan]): The reference.
    predicted (Iterable[CharSpan]): The prediction.
    RETURNS (List[Mistake]): The mistakes, in order of their spans.
    """
    wanted, found = set(gold), set(predicted)
    missed, wrong = sorted(wanted - found), sorted(found - wanted)
    if not missed and not wrong:
        return []
    partner: dict[CharSpan, tuple[str, CharSpan]] = {}
    taken: set[CharSpan] = set()
    for rank, _, one, two in sorted(_candidates(missed, wrong)):
        if one not in partner and two not in taken:
            partner[one] = (MISTAKES[rank], two)
            taken.add(two)
    mistakes = []
    for span in missed:
        kind, other = partner.get(span, (MISSED, None))
        mistakes.append(Mistake(kind, span, other))
    mistakes += [Mistake(INVENTED, None, span) for span in wrong if span not in taken]
    return sorted(mistakes, key=lambda each: (each.gold or each.predicted, each.kind))


def count_mistakes(
    gold: Sequence[Iterable[CharSpan]], predicted: Sequence[Iterable[CharSpan]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Count mistakes over documents.

    gold (Sequence[Iterable[CharSpan]]): The reference of each document.
    predicted (Sequence[Iterable[CharSpan]]): The prediction for each.
    RETURNS (Tuple[Dict[str, int], Dict[str, int]]): The mistakes of each kind: the
        pairs and the missed are all spans of the reference that were not found, the
        pairs and the invented all wrong predictions. And how many of the missed and
        the invented overlap some span of the other side.
    """
    counts = dict.fromkeys(MISTAKES, 0)
    overlapping = {MISSED: 0, INVENTED: 0}
    for wanted, found in zip(gold, predicted, strict=True):
        mistakes = find_mistakes(wanted, found)
        if not mistakes:
            continue
        others = {MISSED: _Reach(found), INVENTED: _Reach(wanted)}
        for kind, one, two in mistakes:
            counts[kind] += 1
            span = one or two
            if kind in others and span is not None:
                overlapping[kind] += others[kind].overlaps(span)
    return counts, overlapping


def _candidates(
    missed: list[CharSpan], wrong: list[CharSpan]
) -> Iterator[tuple[int, float, CharSpan, CharSpan]]:
    """The pairs that overlap, with the place of their kind and the overlap, negative
    so that the greatest sorts first."""
    for one, two in _overlapping(missed, wrong):
        shared = min(one.end, two.end) - max(one.start, two.start)
        if shared <= 0:
            # One of them is empty.
            continue
        if (one.start, one.end) == (two.start, two.end):
            kind = LABEL
        else:
            kind = BOUNDARY if one.label == two.label else BOTH
        whole = max(one.end, two.end) - min(one.start, two.start)
        yield MISTAKES.index(kind), -shared / whole, one, two


def _overlapping(
    some: list[CharSpan], others: list[CharSpan]
) -> Iterator[tuple[CharSpan, CharSpan]]:
    """The pairs of two sorted lists in which one starts within the other: in a time
    that grows with their number, however long a span is."""
    for one in some:
        first, stop = (bisect_left(others, (place,)) for place in one[:2])
        for other in others[first:stop]:
            yield one, other
    for other in others:
        first, stop = (
            bisect_left(some, (place,)) for place in (other[0] + 1, other[1])
        )
        for one in some[first:stop]:
            yield one, other


class _Reach:
    """Tells whether any of some spans overlaps another one.

    spans (Iterable[CharSpan]): The spans.
    """

    def __init__(self, spans: Iterable[CharSpan]):
        ordered = sorted(span for span in spans if span.start < span.end)
        self.starts = [span.start for span in ordered]
        # How far those up to a place reach.
        self.ends = list(accumulate((span.end for span in ordered), max))

    def overlaps(self, span: CharSpan) -> bool:
        place = bisect_left(self.starts, span.end)
        return place > 0 and self.ends[place - 1] > span.start
