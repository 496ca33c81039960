"""Precision, recall and F1 over exact spans, flat and nested, and the registered scorer."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Optional

from spacy.training import Example

from ..corpora.docbin import unaligned_spans
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


Counts = dict[str, tuple[int, int, int]]
Rows = dict[str, dict[str, float]]


def tally(placed: Sequence[Placed], classes: Iterable[str]) -> Counts:
    """Count the spans of each class.

    placed (Sequence[Placed]): The spans.
    classes (Iterable[str]): The class of each.
    RETURNS (Dict[str, Tuple[int, int, int]]): Of each class the spans in the
        reference, in the prediction, and in both.
    """
    kinds = Counter(
        (name, each.in_gold, each.in_predicted)
        for name, each in zip(classes, placed, strict=True)
    )
    names = dict.fromkeys(name for name, _, _ in kinds)
    return {
        name: (
            kinds[name, True, True] + kinds[name, True, False],
            kinds[name, True, True] + kinds[name, False, True],
            kinds[name, True, True],
        )
        for name in names
    }


def rows(counts: Counts, names: Iterable[str]) -> Rows:
    """The scores of classes.

    counts (Dict[str, Tuple[int, int, int]]): What `tally` gave.
    names (Iterable[str]): The classes, in order; those not counted are empty.
    RETURNS (Dict[str, Dict[str, float]]): Of each class `p`, `r`, `f`, `gold`,
        `predicted` and `correct`.
    """
    made = {}
    for name in names:
        gold, predicted, correct = found = counts.get(name, (0, 0, 0))
        numbers = {"gold": gold, "predicted": predicted, "correct": correct}
        made[name] = {**prf(found), **numbers}
    return made


def prf(counts: Sequence[int]) -> dict[str, float]:
    """Precision, recall and F1.

    counts (Sequence[int]): Spans in the reference, in the prediction, in both.
    RETURNS (Dict[str, float]): `p`, `r` and `f`; 0 where nothing is divided by nothing.
    """
    gold, predicted, correct = counts
    return {
        "p": correct / predicted if predicted else 0.0,
        "r": correct / gold if gold else 0.0,
        "f": 2 * correct / (gold + predicted) if gold + predicted else 0.0,
    }


def document_counts(
    gold: Sequence[CharSpan], predicted: Sequence[CharSpan]
) -> tuple[int, int, int]:
    """What bootstrapping draws from.

    gold (Sequence[CharSpan]): The reference.
    predicted (Sequence[CharSpan]): The prediction.
    RETURNS (Tuple[int, int, int]): Spans in the reference, in the prediction, in both.
    """
    wanted, found = set(gold), set(predicted)
    return len(wanted), len(found), len(wanted & found)


def score_documents(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[CharSpan]]
) -> dict[str, Any]:
    """Micro scores over documents.

    A gold span is nested where another gold span contains it or has its range. A
    predicted span that is right is nested as its gold span is; a wrong one is nested
    where a gold or a predicted span contains it, so that precision over nested spans
    counts false ones made inside any span. The flat scores are those of the rest.

    gold (Sequence[Sequence[CharSpan]]): The reference of each document.
    predicted (Sequence[Sequence[CharSpan]]): The prediction for each.
    RETURNS (Dict[str, Any]): `micro_p`, `micro_r`, `micro_f`, `per_type`,
        `nested_p/r/f`, `flat_p/r/f` (0 to 1), and the counts `gold`, `predicted`,
        `correct` and `nested_gold`.
    RAISES (ValueError): The numbers of documents differ.
    """
    return score_placed(place_spans(gold, predicted))


def score_placed(placed: Sequence[Placed]) -> dict[str, Any]:
    """What `score_documents` gives, of spans whose places are known.

    placed (Sequence[Placed]): What `place_spans` gave.
    RETURNS (Dict[str, Any]): The scores.
    """
    kinds = tally(placed, ("nested" if each.depth else "flat" for each in placed))
    types = tally(placed, (each.span.label for each in placed))
    nested, flat = (kinds.get(name, (0, 0, 0)) for name in ("nested", "flat"))
    micro = tuple(map(sum, zip(nested, flat, strict=True)))
    result: dict[str, Any] = {}
    for name, counts in (("micro", micro), ("nested", nested), ("flat", flat)):
        for key, value in prf(counts).items():
            result[f"{name}_{key}"] = value
    result["per_type"] = rows(types, sorted(types))
    result["nested_gold"] = nested[0]
    result["gold"], result["predicted"], result["correct"] = micro
    return result


def make_span_scorer(
    spans_key: Optional[str] = None,  # noqa: UP045
) -> Callable[..., dict[str, Any]]:
    """`spacy-genner.span_scorer.v1`: spancat's scores, and those of nested spans.

    spans_key (Optional[str]): The group of `doc.spans` that is scored; None for that of
        the component whose scorer it is.
    RETURNS (Callable): The scorer. To spancat's keys (`spans_KEY_f` and so on) it adds
        `spans_KEY_nested_p`, `_r` and `_f`. Reference spans that no token boundary
        fits count as missed in all of them.
    """
    # A component is pickled with its scorer where processes are spawned.
    return partial(_score, spans_key)


def _score(
    chosen: str | None,
    examples: Iterable[Example],
    /,
    *,
    spans_key: str = "sc",
    **kwargs: Any,
) -> dict[str, Any]:
    # spaCy hands over the component's settings as keywords.
    spans_key = chosen or spans_key
    examples = list(examples)
    gold = [gold_spans(example.reference, spans_key) for example in examples]
    found = [group_spans(example.predicted, spans_key) for example in examples]
    scores = score_documents(gold, found)
    attr = f"spans_{spans_key}"
    if not any(spans_key in example.reference.spans for example in examples):
        # As spaCy's own scorer says of data without annotation.
        return {f"{attr}_{key}": None for key in "prf"} | {f"{attr}_per_type": None}
    result = {f"{attr}_{key}": scores[f"micro_{key}"] for key in "prf"}
    result |= {f"{attr}_nested_{key}": scores[f"nested_{key}"] for key in "prf"}
    types = scores["per_type"].items()
    result[f"{attr}_per_type"] = {
        label: {key: row[key] for key in "prf"} for label, row in types
    }
    return result


def group_spans(doc: Any, key: str) -> list[CharSpan]:
    """The spans of a group, each once.

    doc (Doc): The document.
    key (str): The group.
    RETURNS (List[CharSpan]): Its spans; none where there is no such group.
    """
    spans = doc.spans[key] if key in doc.spans else ()
    return list(
        dict.fromkeys(CharSpan(s.start_char, s.end_char, s.label_) for s in spans)
    )


def gold_spans(doc: Any, key: str) -> list[CharSpan]:
    """The reference spans, those that no token boundary fits among them.

    doc (Doc): The document.
    key (str): The group.
    RETURNS (List[CharSpan]): The spans.
    """
    return [*group_spans(doc, key), *unaligned_spans(doc)]
