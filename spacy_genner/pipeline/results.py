"""Predictions, how they are written into a Doc, and the per-item fallback."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy
from spacy.tokens import Doc, Span, SpanGroup
from spacy.util import filter_spans

from ..errors import Errors

OK, WINDOWED, REPAIRED, FAILED = "ok", "windowed", "repaired", "failed"


class TokenSpan(NamedTuple):
    """A span of spaCy tokens (end exclusive) with its label and probability."""

    start: int
    end: int
    label: str
    score: float


@dataclass
class Prediction:
    """What was found in one document.

    spans (List[TokenSpan]): The spans, in the order of the contract: by start, then
        the longer first, then the label's place.
    status (str): "ok", "windowed", "repaired" or "failed".
    issues (List[Dict[str, Any]]): What was repaired or went wrong.
    error (Optional[Exception]): Why the document failed.
    answers (Sequence[str]): What the model wrote, where that is to be kept.
    weighed (bool): Whether scores are probabilities, and not 1.0 for want of any.
    """

    spans: list[TokenSpan] = field(default_factory=list)
    status: str = OK
    issues: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None
    answers: Sequence[str] = ()
    weighed: bool = True


def failed_prediction(doc: Doc | Span, error: Exception) -> Prediction:
    """What a document gets that could not be annotated.

    doc (Union[Doc, Span]): The document, or a part of it.
    error (Exception): Why.
    RETURNS (Prediction): No spans, and one issue over all of it.
    """
    if isinstance(error, KeyError):
        # spaCy takes a KeyError for a component that is not initialized.
        cause = error
        error = ValueError(Errors.G424.format(text=doc.text[:40], reason=repr(cause)))
        error.__cause__ = cause
    return Prediction([], FAILED, [failure_issue(doc, str(error))], error)


def failure_issue(doc: Doc | Span, reason: str) -> dict[str, Any]:
    """The issue of a document that could not be annotated.

    doc (Union[Doc, Span]): The document.
    reason (str): Why.
    RETURNS (Dict[str, Any]): The issue, over all of its tokens.
    """
    place = {"start": 0, "end": len(doc), "within": "tokens"}
    return {"code": FAILED, "message": reason, **place}


def resolve_crossing(outcome: Prediction) -> None:
    """Take out spans that cross one from a neighbouring window and are less sure, of
    equals the later.

    outcome (Prediction): Changed in place.
    """
    kept: list[TokenSpan] = []
    for span in sorted(outcome.spans, key=lambda s: -s.score):
        crossed = next((other for other in kept if _cross(span, other)), None)
        if crossed is None:
            kept.append(span)
            continue
        outcome.status = REPAIRED
        outcome.issues.append(
            {
                "code": "crossing",
                "message": (
                    f"{span.label} over tokens {span.start} to {span.end} crosses "
                    f"{crossed.label} over {crossed.start} to {crossed.end}, which "
                    f"another window found with a higher score"
                ),
                "start": span.start,
                "end": span.end,
                "within": "tokens",
            }
        )
    outcome.spans = [span for span in outcome.spans if span in kept]


def _cross(one: TokenSpan, other: TokenSpan) -> bool:
    first, second = sorted((one, other), key=lambda span: (span.start, -span.end))
    return first.start < second.start < first.end < second.end


def write_prediction(doc: Doc, outcome: Prediction, cfg: Mapping[str, Any]) -> None:
    """Put what was found into a document.

    doc (Doc): The document.
    outcome (Prediction): What was found in it.
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


Item = TypeVar("Item")
Result = TypeVar("Result")


def map_with_fallback(
    work: Callable[[Sequence[Item]], Sequence[Result]],
    items: Sequence[Item],
    lost: Callable[[Item, Exception], Result],
) -> list[Result]:
    """Work on items together, and where that fails on each alone.

    work (Callable): Gives a result for each item.
    items (Sequence): The items; without any, nothing is done.
    lost (Callable): The result of an item that fails even alone, given the error.
    RETURNS (List): A result for each item.
    """
    if not items:
        return []
    try:
        return list(work(items))
    except Exception as error:
        if len(items) == 1:
            return [lost(items[0], error)]
        return [map_with_fallback(work, [item], lost)[0] for item in items]
