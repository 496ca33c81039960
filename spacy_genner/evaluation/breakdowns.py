"""Scores by span length, nesting and seen mentions, and kinds of error."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import spacy

from ..corpora.docbin import load_docs
from ..errors import Errors
from ..formats import CharSpan
from .scores import Placed, Rows, gold_spans, rows, tally

SEEN, OTHER_LABEL, UNSEEN = MENTIONS = ("seen", "other_label", "unseen")


class Mentions:
    """The texts that are annotated in a corpus, and their labels.

    Case counts: `Apple` and `apple` are two mentions. White space does not: a mention
    that is broken over two lines is the one that is not.

    mentions (Iterable[Tuple[str, str]]): Texts with their labels.
    """

    def __init__(self, mentions: Iterable[tuple[str, str]]):
        self._labels: dict[str, set[str]] = {}
        self.count = 0
        for text, label in mentions:
            self._labels.setdefault(_spaced(text), set()).add(label)
            self.count += 1

    def kind(self, text: str, label: str) -> str:
        """What the corpus says of a mention.

        text (str): Its text.
        label (str): Its label.
        RETURNS (str): "seen" where the text is annotated with the label, "other_label"
            where it is annotated with others only, "unseen" where it never is.
        """
        labels = self._labels.get(_spaced(text))
        if labels is None:
            return UNSEEN
        return SEEN if label in labels else OTHER_LABEL


def read_mentions(path: Path, key: str) -> Mentions:
    """Collect the mentions of training data, those off the token grid among them.

    path (Path): A `.spacy` file.
    key (str): The group of `doc.spans`.
    RETURNS (Mentions): Its mentions.
    RAISES (ValueError): It is no DocBin, or no document of it has the group.
    """
    pairs: list[tuple[str, str]] = []
    keys: set[str] = set()
    for doc in load_docs(path, spacy.blank("xx").vocab):
        keys.update(doc.spans)
        if key in doc.spans:
            text = doc.text
            pairs += [(text[s.start : s.end], s.label) for s in gold_spans(doc, key)]
    if key not in keys:
        raise ValueError(Errors.G613.format(path=path, key=key, found=sorted(keys)))
    return Mentions(pairs)


def _spaced(text: str) -> str:
    return " ".join(text.split())


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
