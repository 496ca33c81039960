"""Precision, recall and F1 over exact spans, and the registered scorer.

A predicted span is correct if its start, end and label equal those of a gold span.
Nested and flat spans are scored separately, too, if the reference has nested spans:
`place_spans` determines the nesting of each span, and `score_placed` counts the spans.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Optional

from spacy.tokens import Doc
from spacy.training import Example

from ..corpora.docbin import unaligned_spans
from ..errors import Errors, Warnings, warn
from ..formats import CharSpan


class Counts(NamedTuple):
    """Numbers of spans, from which precision, recall and F1 follow.

    gold (int): Spans in the reference.
    predicted (int): Spans in the prediction.
    correct (int): Spans in both.
    """

    gold: int
    predicted: int
    correct: int


NO_SPANS = Counts(0, 0, 0)
# For each class of spans: `p`, `r`, `f`, `gold`, `predicted` and `correct`.
ClassScores = dict[str, dict[str, float]]


class PlacedSpan(NamedTuple):
    """A gold or predicted span and its nesting.

    document (int): The index of its document.
    span (CharSpan): The span.
    in_gold (bool): Whether it is in the reference.
    in_predicted (bool): Whether it is in the prediction.
    depth (int): The number of other spans that contain it or have its range.
    contains (bool): Whether it contains a shorter span.
    """

    document: int
    span: CharSpan
    in_gold: bool
    in_predicted: bool
    depth: int
    contains: bool


def score_documents(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[CharSpan]]
) -> dict[str, Any]:
    """Compute micro scores over documents.

    A gold span is nested if another gold span contains it or has its range. A correct
    prediction is nested if its gold span is. A wrong prediction is nested if a gold or
    a predicted span contains it or has its range, so that the precision of nested spans
    counts false predictions inside any span. A missed gold span with its range does not
    count: the prediction takes its place, with another label. All other spans are flat,
    and all spans are if no gold span is nested.

    gold (Sequence[Sequence[CharSpan]]): The reference spans of each document.
    predicted (Sequence[Sequence[CharSpan]]): The predicted spans of each document.
    RETURNS (dict[str, Any]): `micro_p`, `micro_r`, `micro_f`, `per_type`,
        `nested_p/r/f` and `flat_p/r/f`, from 0 to 1, and the counts `gold`,
        `predicted`, `correct` and `nested_gold`.
    RAISES (ValueError): The numbers of documents differ.
    """
    return score_placed(place_spans(gold, predicted))


def score_placed(placed: Sequence[PlacedSpan]) -> dict[str, Any]:
    """Compute the scores of `score_documents` for spans of known nesting.

    placed (Sequence[PlacedSpan]): The result of `place_spans`.
    RETURNS (dict[str, Any]): The scores.
    """
    levels = ("nested" if each.depth else "flat" for each in placed)
    by_level = count_classes(placed, levels)
    by_label = count_classes(placed, (each.span.label for each in placed))
    nested, flat = (by_level.get(name, NO_SPANS) for name in ("nested", "flat"))
    micro = Counts(*map(sum, zip(nested, flat, strict=True)))
    result: dict[str, Any] = {}
    for name, counts in (("micro", micro), ("nested", nested), ("flat", flat)):
        for key, value in prf(counts).items():
            result[f"{name}_{key}"] = value
    result["per_type"] = class_scores(by_label, sorted(by_label))
    result["nested_gold"] = nested.gold
    return result | micro._asdict()


def document_counts(gold: Iterable[CharSpan], predicted: Iterable[CharSpan]) -> Counts:
    """Count the spans of one document, each distinct span once.

    gold (Iterable[CharSpan]): The reference spans.
    predicted (Iterable[CharSpan]): The predicted spans.
    RETURNS (Counts): The counts.
    """
    gold_set, predicted_set = set(gold), set(predicted)
    return Counts(len(gold_set), len(predicted_set), len(gold_set & predicted_set))


def count_classes(
    placed: Sequence[PlacedSpan], classes: Iterable[str]
) -> dict[str, Counts]:
    """Count the spans of each class.

    placed (Sequence[PlacedSpan]): The spans.
    classes (Iterable[str]): The class of each span.
    RETURNS (dict[str, Counts]): The counts of each class that occurs.
    """
    found = Counter(
        (name, each.in_gold, each.in_predicted)
        for name, each in zip(classes, placed, strict=True)
    )
    names = dict.fromkeys(name for name, _, _ in found)
    return {
        name: Counts(
            gold=found[name, True, True] + found[name, True, False],
            predicted=found[name, True, True] + found[name, False, True],
            correct=found[name, True, True],
        )
        for name in names
    }


def class_scores(counts: dict[str, Counts], names: Iterable[str]) -> ClassScores:
    """Compute the scores of each class.

    counts (dict[str, Counts]): The result of `count_classes`.
    names (Iterable[str]): The classes, in the order of the result. A class without
        counts has no spans.
    RETURNS (dict[str, dict[str, float]]): For each class `p`, `r`, `f`, `gold`,
        `predicted` and `correct`.
    """
    ordered = ((name, counts.get(name, NO_SPANS)) for name in names)
    return {name: {**prf(found), **found._asdict()} for name, found in ordered}


def prf(counts: Counts) -> dict[str, float]:
    """Compute precision, recall and F1.

    counts (Counts): The counts.
    RETURNS (dict[str, float]): `p`, `r` and `f`, from 0 to 1; 0 if the denominator is
        0.
    """
    gold, predicted, correct = counts
    return {
        "p": correct / predicted if predicted else 0.0,
        "r": correct / gold if gold else 0.0,
        "f": 2 * correct / (gold + predicted) if gold + predicted else 0.0,
    }


def place_spans(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[CharSpan]]
) -> list[PlacedSpan]:
    """Determine the nesting of the distinct spans of each document.

    The nesting of gold spans, and so of correct predictions, is determined among the
    gold spans alone; that of wrong predictions among gold and predicted spans together,
    where a wrong prediction takes the place of one missed gold span with its range. If
    no gold span of any document is nested, the depth of every span is 0: a reference
    without nesting can't tell how well nested spans are found.

    gold (Sequence[Sequence[CharSpan]]): The reference spans of each document.
    predicted (Sequence[Sequence[CharSpan]]): The predicted spans of each document.
    RETURNS (list[PlacedSpan]): The spans, document by document.
    RAISES (ValueError): The numbers of documents differ.
    """
    if len(gold) != len(predicted):
        raise ValueError(Errors.G601.format(gold=len(gold), found=len(predicted)))
    placed: list[PlacedSpan] = []
    for document, sides in enumerate(zip(gold, predicted, strict=True)):
        gold_set, predicted_set = map(set, sides)
        ordered = sorted(gold_set)
        for span, depth, contains in zip(ordered, *nesting(ordered), strict=True):
            correct = span in predicted_set
            placed.append(PlacedSpan(document, span, True, correct, depth, contains))
        if predicted_set <= gold_set:
            continue
        missed = {(span.start, span.end) for span in gold_set - predicted_set}
        ordered = sorted(gold_set | predicted_set)
        for span, depth, contains in zip(ordered, *nesting(ordered), strict=True):
            if span not in gold_set:
                depth -= (span.start, span.end) in missed
                placed.append(PlacedSpan(document, span, False, True, depth, contains))
    if not any(each.depth for each in placed if each.in_gold):
        return [each._replace(depth=0) for each in placed]
    return placed


def nesting(ordered: Sequence[CharSpan]) -> tuple[list[int], list[bool]]:
    """Determine how the spans of one text are nested.

    ordered (Sequence[CharSpan]): The distinct spans, sorted.
    RETURNS (tuple[list[int], list[bool]]): For each span, the number of other spans
        that contain it or have its range, and whether it contains a shorter span.
    """
    depths, contains = [0] * len(ordered), [False] * len(ordered)
    # Fast path: in most sentences no span overlaps another.
    if all(left.end < right.start for left, right in pairwise(ordered)):
        return depths, contains
    groups = _groups_by_start(ordered)
    # The sorted ends of the spans that start at or before the current position and
    # have not ended before it.
    ends: list[int] = []
    for first, stop in groups:
        del ends[: bisect_left(ends, ordered[first].start)]
        for span in ordered[first:stop]:
            insort(ends, span.end)
        for index in range(first, stop):
            depths[index] = len(ends) - bisect_left(ends, ordered[index].end) - 1
    # The smallest end of the spans that start further right.
    smallest = ordered[-1].end
    for first, stop in reversed(groups):
        shortest = ordered[first].end
        for index in range(first, stop):
            end = ordered[index].end
            later = stop < len(ordered) and smallest <= end
            contains[index] = shortest < end or later
        smallest = min(smallest, shortest)
    return depths, contains


def _groups_by_start(ordered: Sequence[CharSpan]) -> list[tuple[int, int]]:
    """The index ranges of the spans that have the same start."""
    cuts = [
        index
        for index in range(1, len(ordered))
        if ordered[index].start != ordered[index - 1].start
    ]
    return list(pairwise([0, *cuts, len(ordered)]))


def gold_spans(doc: Doc, key: str) -> list[CharSpan]:
    """Get the gold spans of a document, including those that fit no token boundary.

    doc (Doc): The reference document.
    key (str): The key of the span group.
    RETURNS (list[CharSpan]): The spans.
    """
    return [*group_spans(doc, key), *unaligned_spans(doc)]


def group_spans(doc: Doc, key: str) -> list[CharSpan]:
    """Get the distinct spans of a span group.

    doc (Doc): The document.
    key (str): The key of the group.
    RETURNS (list[CharSpan]): The spans, empty if there is no such group.
    """
    spans = doc.spans[key] if key in doc.spans else ()
    return list(
        dict.fromkeys(CharSpan(s.start_char, s.end_char, s.label_) for s in spans)
    )


def percent(share: float, digits: int = 2, sign: bool = False) -> str:
    """Format a share as a percentage, without the percent sign.

    share (float): The share, from 0 to 1 (or the difference of two shares).
    digits (int): The number of digits after the decimal point.
    sign (bool): Whether to write a plus sign before a positive number.
    RETURNS (str): The percentage.
    """
    return f"{100 * share:{'+' if sign else ''}.{digits}f}"


def make_span_scorer(
    spans_key: Optional[str] = None,  # noqa: UP045
) -> Callable[..., dict[str, Any]]:
    """Create the scorer `spacy-genner.span_scorer.v1`: the scores of spancat, and those
    of nested spans.

    spans_key (str | None): The key of the span group to score. Defaults to the group of
        the component.
    RETURNS (Callable): The scorer. In addition to spancat's keys (`spans_KEY_f` and so
        on), it returns `spans_KEY_nested_p`, `_r` and `_f`. Gold spans that fit no
        token boundary count as missed.
    """
    # A partial rather than a closure: components are pickled with their scorers when
    # processes are spawned.
    return partial(_score_examples, spans_key)


def _score_examples(
    chosen_key: str | None,
    examples: Iterable[Example],
    /,
    *,
    spans_key: str = "sc",
    **kwargs: Any,
) -> dict[str, Any]:
    # spaCy passes the settings of the component as keyword arguments.
    key = chosen_key or spans_key
    examples = list(examples)
    attr = f"spans_{key}"
    if not any(key in example.reference.spans for example in examples):
        if any(example.reference.ents for example in examples):
            warn(Warnings.W408.format(key=key))
        # spaCy's own scorer returns None for data without annotation, too.
        return {f"{attr}_{part}": None for part in "prf"} | {f"{attr}_per_type": None}
    scores = score_documents(
        [gold_spans(example.reference, key) for example in examples],
        [group_spans(example.predicted, key) for example in examples],
    )
    result = {f"{attr}_{part}": scores[f"micro_{part}"] for part in "prf"}
    result |= {f"{attr}_nested_{part}": scores[f"nested_{part}"] for part in "prf"}
    result[f"{attr}_per_type"] = {
        label: {part: row[part] for part in "prf"}
        for label, row in scores["per_type"].items()
    }
    return result
