"""Exact scores of spans. Pure Python; offsets are characters.

A span counts as found where start, end and label all agree. Texts, not tokens, are
compared, so a difference in tokenisation changes nothing.
"""

from collections.abc import Sequence
from typing import Any

from ..formats import CharSpan
from .nesting import Placed, place_spans
from .tally import prf, rows, tally


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
