"""Counts of spans by class, and the scores they make."""

from collections import Counter
from collections.abc import Iterable, Sequence

from .nesting import Placed

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
