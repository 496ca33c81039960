"""Which of the found spans become entities of a Doc."""

from collections.abc import Iterable, Sequence

from spacy.tokens import Span
from spacy.util import filter_spans


def choose_entities(
    spans: Sequence[Span],
    scores: Sequence[float],
    earlier: Iterable[Span],
    inner: bool,
) -> list[Span]:
    """Choose spans that do not overlap, as `doc.ents` wants them.

    spans (Sequence[Span]): The spans that were found.
    scores (Sequence[float]): Their probabilities.
    earlier (Iterable[Span]): Entities that stay.
    inner (bool): Whether the shortest are taken first, else the longest; of equals the
        more probable.
    RETURNS (List[Span]): The entities, with the earlier ones.
    """
    sign = 1 if inner else -1
    order = sorted(
        range(len(spans)),
        key=lambda i: (sign * len(spans[i]), -scores[i], spans[i].start),
    )
    ents = list(earlier)
    taken = {token.i for ent in ents for token in ent}
    for span in (spans[index] for index in order):
        inside = range(span.start, span.end)
        if taken.isdisjoint(inside):
            taken.update(inside)
            ents.append(span)
    return filter_spans(ents)
