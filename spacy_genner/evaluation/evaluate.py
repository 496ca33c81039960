"""Annotate the texts of a corpus and evaluate the annotations."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..corpora.docbin import (
    check_not_entities_alone,
    sentence_starts,
    warn_of_missing_groups,
)
from ..corpora.label_sets import copy_label_set, get_label_set
from ..errors import Errors
from ..formats import CharSpan
from ..pipeline.tolerant import FaultTolerantPipe
from .breakdowns import (
    Breakdown,
    Mentions,
    break_down,
    breakdown_by_length,
    breakdown_by_mention,
    confusion,
    count_errors,
)
from .calibration import best_threshold, calibration, threshold_curve
from .records import Annotation
from .scores import document_counts, gold_spans, group_spans, place_spans, score_placed
from .significance import bootstrap_interval

# The number of draws of the bootstrap interval.
SAMPLES = 1000
# Computes additional entries of an evaluation.
Metric = Callable[[Sequence[Annotation]], dict[str, Any]]


def annotate(
    nlp: Language, docs: Iterable[Doc], key: str, batch_size: int | None = None
) -> Iterator[Annotation]:
    """Run a pipeline over the texts of reference documents. A document with a label set
    of its own (`doc._.genner_labels`) is annotated with that.

    nlp (Language): The pipeline. It tokenizes the texts itself, as in production.
    docs (Iterable[Doc]): The reference documents.
    key (str): The key of the span group, in the reference and in the prediction.
    batch_size (int | None): The batch size. Defaults to that of the pipeline.
    YIELDS (Annotation): The documents, in order. A document that failed has the status
        "failed" and no predicted spans.
    """
    pairs = ((_input_of(nlp, doc), doc) for doc in docs)
    for passed in FaultTolerantPipe[Doc](nlp, key)(pairs, batch_size):
        found, reference = passed.doc, passed.source
        gold = gold_spans(reference, key)
        predicted, scores = _scored_spans(found, key)
        _, uncalibrated = _scored_spans(found, key, "uncalibrated_scores")
        attrs = found.spans[key].attrs
        yield Annotation(
            text=reference.text,
            gold=gold,
            predicted=predicted,
            scores=[1.0] * len(predicted) if scores is None else scores,
            status=attrs.get("status", "ok"),
            issues=list(attrs.get("issues", ())),
            unaligned=sum(
                found.char_span(span.start, span.end) is None for span in gold
            ),
            lengths=_token_lengths(found, [*gold, *predicted]),
            sentences=sentence_starts(found) or sentence_starts(reference) or [],
            scored=scores is not None,
            uncalibrated=uncalibrated,
            written=passed.written,
        )


def _input_of(nlp: Language, reference: Doc) -> str | Doc:
    """The text to annotate; with the label set of the reference, if it has one."""
    if get_label_set(reference) is None:
        return reference.text
    doc = nlp.make_doc(reference.text)
    copy_label_set(reference, doc)
    return doc


def _scored_spans(
    doc: Doc, key: str, attr: str = "scores"
) -> tuple[list[CharSpan], list[float] | None]:
    """The distinct predicted spans and their scores; None without a score for each."""
    spans = group_spans(doc, key)
    group = list(doc.spans[key])
    scores = doc.spans[key].attrs.get(attr, ()) if group else ()
    if len(scores) != len(group):
        return spans, None
    first: dict[CharSpan, float] = {}
    for span, score in zip(group, scores, strict=True):
        char_span = CharSpan(span.start_char, span.end_char, span.label_)
        first.setdefault(char_span, float(score))
    return spans, [first[span] for span in spans]


def _token_lengths(doc: Doc, spans: Iterable[CharSpan]) -> dict[tuple[int, int], int]:
    """The number of tokens that each character range overlaps, at least 1."""
    starts = [token.idx for token in doc]
    ends = [token.idx + len(token) for token in doc]
    lengths = {}
    for start, end, _ in spans:
        overlapped = bisect_left(starts, end) - bisect_right(ends, start)
        lengths[start, end] = max(1, overlapped)
    return lengths


def evaluate(
    annotations: Iterable[Annotation],
    seed: int = 0,
    mentions: Mentions | None = None,
    metrics: Iterable[Metric] = (),
) -> dict[str, Any]:
    """Score annotated documents.

    annotations (Iterable[Annotation]): The documents.
    seed (int): The random seed of the bootstrap.
    mentions (Mentions | None): The mentions of the training data.
    metrics (Iterable[Metric]): Additional metrics: functions that take the documents
        and return entries of the evaluation.
    RETURNS (dict[str, Any]): The evaluation: the scores and counts of
        `score_documents`; `unaligned_gold`, `statuses` and `documents`; `interval`, the
        95 % interval of micro-F1; `threshold_curve` and `best_threshold`; the
        breakdowns of `break_down`, including `by_length` if the lengths are known, and
        `by_mention` and `train_mentions` if mentions are given; `errors` and
        `errors_overlapping`, the result of `count_errors`; `confusion`, the result of
        the function of that name; `calibration`, None without scores; `uncalibrated`,
        the same for the scores before calibration, only with a pipeline that calibrates
        them; and the entries of `metrics`.
    RAISES (ValueError): There are no documents.
    """
    rows = list(annotations)
    if not rows:
        raise ValueError(Errors.G602.format())
    gold, predicted = [row.gold for row in rows], [row.predicted for row in rows]
    placed = place_spans(gold, predicted)
    result = score_placed(placed)
    result["unaligned_gold"] = sum(row.unaligned for row in rows)
    result["statuses"] = dict(Counter(row.status for row in rows))
    result["documents"] = len(rows)
    counts = [document_counts(row.gold, row.predicted) for row in rows]
    low, high = bootstrap_interval(counts, SAMPLES, seed)
    result["interval"] = {"low": low, "high": high, "samples": SAMPLES, "seed": seed}
    for metric in metrics:
        result |= metric(rows)
    result |= break_down(placed, _breakdowns(rows, mentions))
    if mentions is not None:
        result["train_mentions"] = mentions.count
    errors, overlapping = count_errors(gold, predicted)
    result["errors"], result["errors_overlapping"] = errors, overlapping
    result["confusion"] = confusion(gold, predicted)
    correct = [
        span in gold_set
        for row in rows
        for gold_set in [set(row.gold)]
        for span in row.predicted
    ]
    own_scores = [score if row.scored else None for row in rows for score in row.scores]
    result["calibration"] = calibration(own_scores, correct)
    if any(row.uncalibrated is not None for row in rows):
        before: list[float | None] = []
        for row in rows:
            before += row.uncalibrated or [None] * len(row.predicted)
        result["uncalibrated"] = calibration(before, correct)
    scores = [score for row in rows for score in row.scores]
    curve = threshold_curve(scores, correct, result["gold"])
    result["threshold_curve"] = curve
    result["best_threshold"] = best_threshold(curve)
    return result


def _breakdowns(
    rows: list[Annotation], mentions: Mentions | None
) -> dict[str, Breakdown]:
    breakdowns = {}
    lengths = [row.lengths for row in rows if row.lengths is not None]
    if len(lengths) == len(rows):
        breakdowns["by_length"] = breakdown_by_length(lengths)
    if mentions is not None:
        texts = [row.text for row in rows]
        breakdowns["by_mention"] = breakdown_by_mention(texts, mentions)
    return breakdowns


def check_gold(docs: Sequence[Doc], key: str) -> None:
    """Check that there are annotated documents, and warn if some are not annotated.

    docs (Sequence[Doc]): The reference documents.
    key (str): The key of the span group.
    RAISES (ValueError): There are no documents, or none has the group (with another
        message if there are entities).
    """
    if not docs:
        raise ValueError(Errors.G602.format())
    check_not_entities_alone(docs, key, "The corpus")
    if not any(key in doc.spans for doc in docs):
        keys = sorted({name for doc in docs for name in doc.spans})
        raise ValueError(Errors.G603.format(key=key, found=keys))
    warn_of_missing_groups(docs, key, "The corpus")
