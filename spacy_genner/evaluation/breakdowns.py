"""Scores by nesting, length and seen mentions, and kinds of errors.

A breakdown assigns a class to each gold and predicted span and scores the classes
separately. Errors are analysed per document: missed gold spans are paired with wrong
predictions, and each pair, or each span that stays alone, is an error of one kind.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import spacy

from ..corpora.docbin import load_docs
from ..errors import Errors
from ..formats import CharSpan
from .scores import ClassScores, PlacedSpan, class_scores, count_classes, gold_spans

NESTED, CONTAINING, ALONE = STRUCTURES = ("nested", "containing", "alone")
SEEN, OTHER_LABEL, UNSEEN = MENTION_KINDS = ("seen", "other_label", "unseen")
LENGTHS = ("1", "2", "3", "4-5", "6+")
# The smallest length of each class in LENGTHS but the first.
_LENGTH_EDGES = (2, 3, 4, 6)

LABEL, BOUNDARY, BOTH = PAIR_KINDS = ("label", "boundary", "boundary_and_label")
MISSED, INVENTED = ("missed", "invented")
ERROR_KINDS = (*PAIR_KINDS, MISSED, INVENTED)


class Breakdown(NamedTuple):
    """A way to divide spans into classes.

    classes (tuple[str, ...]): The classes, in the order of the result.
    class_of (Callable[[int, CharSpan], str]): Returns the class of a span, given the
        index of its document and the span.
    """

    classes: tuple[str, ...]
    class_of: Callable[[int, CharSpan], str]


def break_down(
    placed: Sequence[PlacedSpan], breakdowns: Mapping[str, Breakdown] | None = None
) -> dict[str, ClassScores]:
    """Score the classes of several breakdowns.

    `by_structure`: a span is "nested" if another span contains it or has its range,
    "containing" if it is not nested and contains a shorter span, and else "alone".
    `by_depth`: the number of other spans that contain it or have its range; depth 0 is
    not nested. `place_spans` defines which other spans count.

    placed (Sequence[PlacedSpan]): The result of `place_spans`.
    breakdowns (Mapping[str, Breakdown] | None): Further breakdowns by name.
    RETURNS (dict[str, dict[str, dict[str, float]]]): For each breakdown and class `p`,
        `r`, `f`, `gold`, `predicted` and `correct`. `by_depth` has the classes from 0
        to the greatest depth; the other breakdowns have all their classes.
    """
    structures = count_classes(placed, map(_structure, placed))
    depths = count_classes(placed, (str(each.depth) for each in placed))
    deepest = max(map(int, depths), default=0)
    result = {
        "by_structure": class_scores(structures, STRUCTURES),
        "by_depth": class_scores(depths, map(str, range(deepest + 1))),
    }
    for name, breakdown in (breakdowns or {}).items():
        found = (breakdown.class_of(each.document, each.span) for each in placed)
        counts = count_classes(placed, found)
        result[name] = class_scores(counts, breakdown.classes)
    return result


def _structure(placed: PlacedSpan) -> str:
    if placed.depth:
        return NESTED
    return CONTAINING if placed.contains else ALONE


def breakdown_by_length(
    lengths: Sequence[Mapping[tuple[int, int], int]],
) -> Breakdown:
    """Divide spans by their length in tokens: 1, 2, 3, 4-5, 6+.

    lengths (Sequence[Mapping[tuple[int, int], int]]): For each document, the number of
        tokens of each character range.
    RETURNS (Breakdown): The breakdown. Its `class_of` raises a ValueError for a span
        whose range has no length.
    """

    def class_of(document: int, span: CharSpan) -> str:
        length = lengths[document].get((span.start, span.end))
        if length is None:
            found = (span.start, span.end)
            raise ValueError(Errors.G614.format(range=found, document=document))
        return LENGTHS[bisect_right(_LENGTH_EDGES, length)]

    return Breakdown(LENGTHS, class_of)


def breakdown_by_mention(texts: Sequence[str], mentions: "Mentions") -> Breakdown:
    """Divide spans by whether the training data contains their text and label.

    texts (Sequence[str]): The text of each document.
    mentions (Mentions): The mentions of the training data.
    RETURNS (Breakdown): The breakdown.
    """

    def class_of(document: int, span: CharSpan) -> str:
        return mentions.kind(texts[document][span.start : span.end], span.label)

    return Breakdown(MENTION_KINDS, class_of)


class Mentions:
    """The annotated mentions of a corpus: texts with their labels.

    Case is significant: `Apple` and `apple` are two mentions. White space is
    normalized, so that a mention broken over two lines equals the same mention on one
    line.

    mentions (Iterable[tuple[str, str]]): Pairs of text and label.
    """

    def __init__(self, mentions: Iterable[tuple[str, str]]):
        self._labels: dict[str, set[str]] = {}
        self.count = 0
        for text, label in mentions:
            self._labels.setdefault(_normalize_spaces(text), set()).add(label)
            self.count += 1

    def kind(self, text: str, label: str) -> str:
        """Look up a mention.

        text (str): Its text.
        label (str): Its label.
        RETURNS (str): "seen" if the corpus has the text with this label, "other_label"
            if it has the text with other labels only, and else "unseen".
        """
        labels = self._labels.get(_normalize_spaces(text))
        if labels is None:
            return UNSEEN
        return SEEN if label in labels else OTHER_LABEL


def read_mentions(path: Path, key: str) -> Mentions:
    """Collect the mentions of training data, including those that fit no token
    boundary.

    path (Path): A `.spacy` file.
    key (str): The key of the span group.
    RETURNS (Mentions): The mentions.
    RAISES (ValueError): The file is not a DocBin, or no document has the group.
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


def _normalize_spaces(text: str) -> str:
    return " ".join(text.split())


class SpanError(NamedTuple):
    """An error: a missed gold span, a wrong prediction, or a pair of both.

    kind (str): "label", "boundary" or "boundary_and_label" for a pair, "missed" or
        "invented" for a single span.
    gold (CharSpan | None): The missed gold span.
    predicted (CharSpan | None): The wrong prediction.
    """

    kind: str
    gold: CharSpan | None
    predicted: CharSpan | None


def find_errors(
    gold: Iterable[CharSpan], predicted: Iterable[CharSpan]
) -> list[SpanError]:
    """Pair the missed gold spans of a document with its wrong predictions, one to one.

    Pairs are formed in this order, each from two spans that are still unpaired: same
    range (label error); overlap and same label (boundary error); overlap and different
    labels (both). Within one kind, pairs with the greater overlap come first (shared
    characters as a fraction of the characters of both spans, the Jaccard index), then
    those with the earlier gold span, then those with the earlier prediction, by start,
    end and label. The result therefore does not depend on the order of the spans. An
    unpaired span is missed or invented. It may still overlap a correct span, such as
    the inner span of a longer one that was found, or a span that is already paired.

    gold (Iterable[CharSpan]): The reference spans.
    predicted (Iterable[CharSpan]): The predicted spans.
    RETURNS (list[SpanError]): The errors, in the order of their spans.
    """
    gold_set, predicted_set = set(gold), set(predicted)
    missed, wrong = sorted(gold_set - predicted_set), sorted(predicted_set - gold_set)
    if not missed and not wrong:
        return []
    partners: dict[CharSpan, tuple[str, CharSpan]] = {}
    taken: set[CharSpan] = set()
    for rank, _, one, other in sorted(_candidate_pairs(missed, wrong)):
        if one not in partners and other not in taken:
            partners[one] = (PAIR_KINDS[rank], other)
            taken.add(other)
    errors = []
    for span in missed:
        kind, partner = partners.get(span, (MISSED, None))
        errors.append(SpanError(kind, span, partner))
    errors += [SpanError(INVENTED, None, span) for span in wrong if span not in taken]
    return sorted(errors, key=lambda error: (error.gold or error.predicted, error.kind))


def count_errors(
    gold: Sequence[Iterable[CharSpan]], predicted: Sequence[Iterable[CharSpan]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Count the errors of documents by kind.

    gold (Sequence[Iterable[CharSpan]]): The reference spans of each document.
    predicted (Sequence[Iterable[CharSpan]]): The predicted spans of each document.
    RETURNS (tuple[dict[str, int], dict[str, int]]): The number of errors of each kind,
        and how many of the missed and the invented spans overlap any span of the other
        side. Pairs and missed spans add up to the gold spans that were not found, pairs
        and invented spans to the wrong predictions.
    """
    counts = dict.fromkeys(ERROR_KINDS, 0)
    overlapping = {MISSED: 0, INVENTED: 0}
    for gold_doc, predicted_doc in zip(gold, predicted, strict=True):
        errors = find_errors(gold_doc, predicted_doc)
        if not errors:
            continue
        other_side = {
            MISSED: _OverlapIndex(predicted_doc),
            INVENTED: _OverlapIndex(gold_doc),
        }
        for kind, one, other in errors:
            counts[kind] += 1
            span = one or other
            if kind in other_side and span is not None:
                overlapping[kind] += other_side[kind].overlaps(span)
    return counts, overlapping


def confusion(
    gold: Sequence[Iterable[CharSpan]], predicted: Sequence[Iterable[CharSpan]]
) -> dict[str, Any]:
    """Count which labels are predicted for which gold labels.

    Correct spans, label errors, and errors of boundary and label are counted by their
    two labels. Boundary errors have two equal labels: they are counted apart, so that
    the diagonal has the correct spans only.

    gold (Sequence[Iterable[CharSpan]]): The reference spans of each document.
    predicted (Sequence[Iterable[CharSpan]]): The predicted spans of each document.
    RETURNS (dict[str, Any]): The `labels`; `matrix`, with a row for each gold label
        and a column for each predicted label; and for each label the numbers of
        `boundary` errors, of `missed` gold spans and of `invented` predictions. The
        gold spans of a label are its row, its boundary errors and its missed spans; its
        predictions are its column, its boundary errors and its invented spans.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    single: dict[str, Counter[str]] = {
        kind: Counter() for kind in (BOUNDARY, MISSED, INVENTED)
    }
    for gold_doc, predicted_doc in zip(gold, predicted, strict=True):
        gold_set, predicted_set = set(gold_doc), set(predicted_doc)
        pairs.update((span.label,) * 2 for span in gold_set & predicted_set)
        for kind, one, other in find_errors(gold_set, predicted_set):
            labels_found = [span.label for span in (one, other) if span is not None]
            if kind in single:
                single[kind][labels_found[0]] += 1
            else:
                pairs[labels_found[0], labels_found[1]] += 1
    labels = sorted(
        {label for pair in pairs for label in pair}
        | {label for counts in single.values() for label in counts}
    )
    return {
        "labels": labels,
        "matrix": [[pairs[row, column] for column in labels] for row in labels],
        **{
            kind: [counts[label] for label in labels] for kind, counts in single.items()
        },
    }


def _candidate_pairs(
    missed: list[CharSpan], wrong: list[CharSpan]
) -> Iterator[tuple[int, float, CharSpan, CharSpan]]:
    """The overlapping pairs, each after the index of its kind and its negative overlap:
    sorted, they are in the order in which pairs are formed."""
    for one, other in _overlapping_pairs(missed, wrong):
        shared = min(one.end, other.end) - max(one.start, other.start)
        if shared <= 0:
            # One of the spans is empty.
            continue
        if (one.start, one.end) == (other.start, other.end):
            kind = LABEL
        else:
            kind = BOUNDARY if one.label == other.label else BOTH
        union = max(one.end, other.end) - min(one.start, other.start)
        yield PAIR_KINDS.index(kind), -shared / union, one, other


def _overlapping_pairs(
    some: list[CharSpan], others: list[CharSpan]
) -> Iterator[tuple[CharSpan, CharSpan]]:
    """The pairs from two sorted lists in which one span starts within the other. The
    time grows with the number of pairs, not with the length of the spans."""
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


class _OverlapIndex:
    """Finds out in logarithmic time whether any of a set of spans overlaps a given one.

    spans (Iterable[CharSpan]): The spans.
    """

    def __init__(self, spans: Iterable[CharSpan]):
        ordered = sorted(span for span in spans if span.start < span.end)
        self._starts = [span.start for span in ordered]
        # The greatest end of the spans up to each index.
        self._ends = list(accumulate((span.end for span in ordered), max))

    def overlaps(self, span: CharSpan) -> bool:
        index = bisect_left(self._starts, span.end)
        return index > 0 and self._ends[index - 1] > span.start
