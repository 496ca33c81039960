"""Predictions: how windows are merged into them, and how they are written to a Doc.

A predictor returns one `Prediction` for each Doc. A document that was cut into windows
has one for each window first; `merge_windows` is the one place that puts them together.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy
from spacy.tokens import Doc, Span, SpanGroup
from spacy.util import filter_spans

from ..errors import Errors
from ..formats.base import NestedSpans
from ..prompts.windows import Window
from .score_map import ScoreMap

OK, WINDOWED, REPAIRED, FAILED = "ok", "windowed", "repaired", "failed"
# Most severe first: a document has the first status that one of its windows has.
STATUSES = (FAILED, REPAIRED, WINDOWED, OK)

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class TokenSpan(NamedTuple):
    """A span of spaCy tokens (end exclusive) with its label and probability."""

    start: int
    end: int
    label: str
    score: float


@dataclass
class Prediction:
    """The spans of one document or window, and its status.

    spans (list[TokenSpan]): The spans, sorted by start, then the longer first, then the
        label's position among the labels.
    status (str): "ok", "windowed", "repaired" or "failed".
    issues (list[dict[str, Any]]): Repairs and failures.
    error (Exception | None): The reason of a failure.
    answers (Sequence[str]): The outputs of the model, where they are kept.
    has_scores (bool): Whether the scores are probabilities. If not, they are all 1.0.
    """

    spans: list[TokenSpan] = field(default_factory=list)
    status: str = OK
    issues: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None
    answers: Sequence[str] = ()
    has_scores: bool = True


def failed_prediction(doc: Doc | Span, error: Exception) -> Prediction:
    """The prediction of a document that could not be annotated.

    doc (Doc | Span): The document, or a part of it.
    error (Exception): The reason.
    RETURNS (Prediction): No spans, and one issue that covers the document.
    """
    if isinstance(error, KeyError):
        # spaCy reports a KeyError as a component that is not initialized (E109).
        cause = error
        error = ValueError(Errors.G424.format(text=doc.text[:40], reason=repr(cause)))
        error.__cause__ = cause
    return Prediction([], FAILED, [failure_issue(doc, str(error))], error)


def predict_in_groups(
    docs: Sequence[Doc],
    key_of: Callable[[Doc], Key],
    predict: Callable[[Key, list[Doc]], list[Prediction]],
) -> list[Prediction]:
    """Predict for documents in groups, such as those with the same label set.

    docs (Sequence[Doc]): The documents.
    key_of (Callable[[Doc], Key]): Returns the key of a document's group. A document for
        which it raises a ValueError fails alone.
    predict (Callable[[Key, list[Doc]], list[Prediction]]): Predicts for one group.
    RETURNS (list[Prediction]): One prediction for each document, in order.
    """
    predictions = [Prediction() for _ in docs]
    groups: dict[Key, list[int]] = {}
    for index, doc in enumerate(docs):
        try:
            groups.setdefault(key_of(doc), []).append(index)
        except ValueError as error:
            predictions[index] = failed_prediction(doc, error)
    for key, indices in groups.items():
        found = predict(key, [docs[index] for index in indices])
        for index, prediction in zip(indices, found, strict=True):
            predictions[index] = prediction
    return predictions


def failure_issue(doc: Doc | Span, reason: str) -> dict[str, Any]:
    """The issue of a document that could not be annotated.

    doc (Doc | Span): The document.
    reason (str): The reason.
    RETURNS (dict[str, Any]): The issue, which covers all tokens.
    """
    place = {"start": 0, "end": len(doc), "within": "tokens"}
    return {"code": FAILED, "message": reason, **place}


def map_with_fallback(
    work: Callable[[Sequence[Item]], Sequence[Result]],
    items: Sequence[Item],
    on_failure: Callable[[Item, Exception], Result],
) -> list[Result]:
    """Process items together, and each alone if that fails.

    The failure of one item is thereby its own.

    work (Callable): Returns a result for each item.
    items (Sequence): The items. If there are none, `work` is not called.
    on_failure (Callable): Returns the result of an item that fails even alone, given
        the error.
    RETURNS (list): A result for each item.
    """
    if not items:
        return []
    try:
        return list(work(items))
    except Exception as error:
        if len(items) == 1:
            return [on_failure(items[0], error)]
        return [map_with_fallback(work, [item], on_failure)[0] for item in items]


def merge_windows(
    doc: Doc,
    windows: Sequence[Window],
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    allow_crossing: bool,
) -> Prediction:
    """Merge the predictions of a document's windows.

    Where windows overlap, the window whose centre is nearest to a span decides on it.

    doc (Doc): The document.
    windows (Sequence[Window]): Its windows.
    predictions (Sequence[Prediction]): One for each window, with offsets from the
        window's first token.
    labels (Sequence[str]): The labels, in order.
    allow_crossing (bool): Whether spans may overlap partially.
    RETURNS (Prediction): The prediction of the document. It has failed if one of the
        windows has.
    """
    statuses = {prediction.status for prediction in predictions}
    if any(window.cut for window in windows):
        statuses.add(WINDOWED)
    merged = Prediction(status=next((s for s in STATUSES if s in statuses), OK))
    for window, prediction in zip(windows, predictions, strict=True):
        merged.issues += [
            _shift_issue(doc, window, issue) for issue in prediction.issues
        ]
        merged.error = merged.error or prediction.error
        merged.has_scores = merged.has_scores and prediction.has_scores
        for span in prediction.spans:
            start, end = window.start + span.start, window.start + span.end
            if window.decides(start, end):
                merged.spans.append(span._replace(start=start, end=end))
    order = {label: index for index, label in enumerate(labels)}
    merged.spans.sort(key=lambda s: (s.start, -s.end, order.get(s.label, len(order))))
    if merged.status == FAILED:
        merged.spans = []
    elif not allow_crossing and len(windows) > 1:
        resolve_crossing(merged)
    return merged


def _shift_issue(doc: Doc, window: Window, issue: dict[str, Any]) -> dict[str, Any]:
    """An issue of a window, with offsets in the document."""
    offsets = {"text": doc[window.start].idx, "tokens": window.start}
    offset = offsets.get(issue.get("within", ""))
    if offset is None:
        return issue
    return {**issue, "start": issue["start"] + offset, "end": issue["end"] + offset}


def resolve_crossing(prediction: Prediction) -> None:
    """Drop spans that cross a span of a neighboring window with a higher score. Of
    equal scores the later span is dropped.

    prediction (Prediction): Changed in place.
    """
    kept: set[TokenSpan] = set()
    # The first span of each range, in the order in which the ranges are added.
    first_spans: list[TokenSpan] = []
    ranges: set[tuple[int, int]] = set()
    nested = NestedSpans((span.start, span.end) for span in prediction.spans)
    for span in sorted(prediction.spans, key=lambda s: -s.score):
        number = nested.crossed(span.start, span.end)
        if number is None:
            if (span.start, span.end) not in ranges:
                ranges.add((span.start, span.end))
                first_spans.append(span)
                nested.add(span.start, span.end)
            kept.add(span)
            continue
        crossed = first_spans[number]
        prediction.status = REPAIRED
        prediction.issues.append(
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
    prediction.spans = [span for span in prediction.spans if span in kept]


def limit_depth(prediction: Prediction, max_depth: int) -> None:
    """Drop spans so that no token is in more than `max_depth` spans.

    A grammar limits depth within one list and one window. Lists of several labels,
    neighboring windows, and outputs without a grammar can exceed it together. Spans
    with higher scores are kept; of equal scores the one that starts first, then the
    longer one.

    prediction (Prediction): Changed in place. A dropped span is an issue.
    max_depth (int): The maximum number of spans over a token.
    """
    if len(prediction.spans) <= max_depth:
        return
    depths = numpy.zeros(max(span.end for span in prediction.spans), dtype="int64")
    dropped: set[TokenSpan] = set()
    for span in sorted(prediction.spans, key=lambda s: -s.score):
        tokens = depths[span.start : span.end]
        if tokens.max(initial=0) < max_depth:
            tokens += 1
        else:
            dropped.add(span)
    if not dropped:
        return
    lost = [span for span in prediction.spans if span in dropped]
    prediction.spans = [span for span in prediction.spans if span not in dropped]
    prediction.status = REPAIRED
    prediction.issues += [
        {
            "code": "too_deep",
            "message": (
                f"{span.label} over tokens {span.start} to {span.end} is dropped, as "
                f"{max_depth} spans with a score that is not lower are over the same "
                "token already (max_depth)"
            ),
            "start": span.start,
            "end": span.end,
            "within": "tokens",
        }
        for span in lost
    ]


def write_prediction(
    doc: Doc,
    prediction: Prediction,
    cfg: Mapping[str, Any],
    score_map: ScoreMap | None = None,
) -> None:
    """Write a prediction to `doc.spans` and `doc.ents`. Tokens that are blocked as
    entities (`doc.set_ents(blocked=...)`) stay blocked.

    doc (Doc): The document.
    prediction (Prediction): Its prediction.
    cfg (Mapping[str, Any]): The component's settings: spans_key, min_score, set_ents
        and overwrite_ents.
    score_map (ScoreMap | None): Calibrates the scores. The model's own ones are kept in
        `uncalibrated_scores`.
    """
    own = [span.score for span in prediction.spans]
    is_calibrated = score_map is not None and prediction.has_scores
    if score_map is not None and is_calibrated:
        spans_ = [s._replace(score=score_map(s.score)) for s in prediction.spans]
        prediction = replace(prediction, spans=spans_)
    # Compared in float32, as the scores are stored: a threshold that was read from
    # stored scores keeps the span that it was read from.
    min_score = float(cfg["min_score"])
    chosen = [
        index
        for index, span in enumerate(prediction.spans)
        if float(numpy.float32(span.score)) >= min_score
    ]
    kept = [prediction.spans[index] for index in chosen]
    spans = [Span(doc, s.start, s.end, label=s.label) for s in kept]
    scores = [span.score for span in kept]
    attrs: dict[str, Any] = {
        "scores": numpy.asarray(scores, dtype="float32"),
        "status": prediction.status,
        "issues": prediction.issues,
    }
    if is_calibrated:
        values = [own[index] for index in chosen]
        attrs["uncalibrated_scores"] = numpy.asarray(values, dtype="float32")
    if prediction.answers:
        attrs["answer"] = "\n".join(prediction.answers)
    key = str(cfg["spans_key"])
    doc.spans[key] = SpanGroup(doc, name=key, spans=spans, attrs=attrs)
    if cfg["set_ents"] != "none" and prediction.status != FAILED:
        earlier = () if cfg["overwrite_ents"] else doc.ents
        inner = cfg["set_ents"] == "inner"
        # A blocked token begins an entity without a label.
        blocked = [t.i for t in doc if t.ent_iob == 3 and not t.ent_type]
        allowed = [
            index
            for index, span in enumerate(spans)
            if not any(span.start <= token < span.end for token in blocked)
        ]
        doc.set_ents(
            choose_entities(
                [spans[index] for index in allowed],
                [scores[index] for index in allowed],
                earlier,
                inner,
            ),
            blocked=[doc[token : token + 1] for token in blocked],
        )


def choose_entities(
    spans: Sequence[Span],
    scores: Sequence[float],
    earlier: Iterable[Span],
    inner: bool,
) -> list[Span]:
    """Choose spans that do not overlap, as `doc.ents` requires.

    spans (Sequence[Span]): The predicted spans.
    scores (Sequence[float]): Their probabilities.
    earlier (Iterable[Span]): Entities that stay.
    inner (bool): Whether to take the shortest spans first, otherwise the longest. Of
        equal lengths the more probable span comes first.
    RETURNS (list[Span]): The entities, including the earlier ones.
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
