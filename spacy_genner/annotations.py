"""What was found, put into a Doc: its group of spans, and its entities."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy
from spacy.tokens import Doc, Span, SpanGroup
from spacy.util import filter_spans

from .outcomes import FAILED, Outcome


def write_outcome(doc: Doc, outcome: Outcome, cfg: Mapping[str, Any]) -> None:
    """Put what was found into a document.

    doc (Doc): The document.
    outcome (Outcome): What was found in it.
    cfg (Mapping[str, Any]): The component's settings: spans_key, min_score, set_ents
        and overwrite_ents.
    """
    # Compared as it is stored, in float32: a threshold that was read from stored
    # scores keeps the span that it was read from.
    least = float(cfg["min_score"])
    found = [s for s in outcome.spans if float(numpy.float32(s.score)) >= least]
    spans = [Span(doc, s.start, s.end, label=s.label) for s in found]
    scores = [span.score for span in found]
    attrs: dict[str, Any] = {
        "scores": numpy.asarray(scores, dtype="float32"),
        "status": outcome.status,
        "issues": outcome.issues,
    }
    if outcome.answers:
        attrs["answer"] = "\n".join(outcome.answers)
    key = str(cfg["spans_key"])
    doc.spans[key] = SpanGroup(doc, name=key, spans=spans, attrs=attrs)
    if cfg["set_ents"] != "none" and outcome.status != FAILED:
        earlier = () if cfg["overwrite_ents"] else doc.ents
        inner = cfg["set_ents"] == "inner"
        doc.set_ents(choose_entities(spans, scores, earlier, inner))


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
