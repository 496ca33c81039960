"""The order in which documents are corrected.

The uncertain documents come first in active learning: correcting them teaches the model
the most. Two measures use the probabilities of the suggested spans. With `p` as the
probability of a span,

- the margin is `|2p - 1|`, the difference between the probability of the span and that
  of the opposite. A document counts as its least certain span ("margin");
- the entropy is `-p log2 p - (1 - p) log2 (1 - p)`, in bits. A document counts as the
  mean over its spans ("entropy").

Both are uncertainty sampling (Lewis and Gale, 1994; Settles, 2009). They know nothing
of spans that the model did not suggest.
"""

import random
from collections.abc import Sequence
from math import log2

from ..errors import Errors
from .edits import ReviewSpan

CORPUS, MARGIN, ENTROPY, RANDOM = "corpus", "margin", "entropy", "random"
ORDERS = (CORPUS, MARGIN, ENTROPY, RANDOM)
# Documents that the model failed on come first, and those without scores last.
FAILED_FIRST = 2.0
UNKNOWN = -1.0


def uncertainty(
    spans: Sequence[ReviewSpan] | None, measure: str, failed: bool = False
) -> float:
    """Measure how uncertain the suggestions for a document are.

    spans (Sequence[ReviewSpan] | None): The suggestions. None if there are none yet.
    measure (str): "margin" or "entropy".
    failed (bool): Whether the model failed on the document.
    RETURNS (float): From 0 (certain) to 1. A document that failed has 2, so that it
        comes first, and one without scores -1, so that it comes last.
    """
    if failed:
        return FAILED_FIRST
    scores = [span.score for span in spans or () if span.score is not None]
    if spans is None or (spans and not scores):
        return UNKNOWN
    if not scores:
        return 0.0
    if measure == MARGIN:
        return 1.0 - min(abs(2.0 * score - 1.0) for score in scores)
    return sum(map(_entropy, scores)) / len(scores)


def _entropy(p: float) -> float:
    return -sum(q * log2(q) for q in (p, 1.0 - p) if q > 0.0)


def order_documents(
    count: int, order: str, uncertainties: Sequence[float] = (), seed: int = 0
) -> list[int]:
    """Order the documents of a corpus.

    count (int): The number of documents.
    order (str): One of `ORDERS`.
    uncertainties (Sequence[float]): The uncertainty of each document, for the orders
        "margin" and "entropy".
    seed (int): The seed of the order "random".
    RETURNS (list[int]): The numbers of the documents, from 1. Equally uncertain
        documents keep the order of the corpus.
    RAISES (ValueError): There is no such order.
    """
    numbers = list(range(1, count + 1))
    if order == CORPUS:
        return numbers
    if order == RANDOM:
        random.Random(seed).shuffle(numbers)
        return numbers
    if order in (MARGIN, ENTROPY):
        return sorted(numbers, key=lambda number: -uncertainties[number - 1])
    raise ValueError(Errors.G894.format(found=order, expected=", ".join(ORDERS)))
