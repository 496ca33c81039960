"""Annotate a corpus, evaluate the annotations and write the results."""

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..corpora.docbin import sentence_starts
from ..errors import Errors
from ..formats import CharSpan
from ..io import json_text, replaced_file
from ..pipeline.tolerant import FaultTolerantPipe
from .breakdowns import (
    Classes,
    Mentions,
    break_down,
    count_mistakes,
    length_classes,
    mention_classes,
)
from .calibration import best_threshold, calibration, threshold_curve
from .records import SUFFIX, Annotation
from .scores import document_counts, gold_spans, group_spans, place_spans, score_placed
from .significance import bootstrap_interval

SAMPLES = 1000
# Gives further entries of an evaluation.
Metric = Callable[[Sequence[Annotation]], dict[str, Any]]


def annotate(
    nlp: Language, docs: Iterable[Doc], key: str, batch_size: int | None = None
) -> Iterator[Annotation]:
    """Annotate texts as a user would, and hold the result against the reference.

    nlp (Language): The pipeline; it tokenises the texts itself.
    docs (Iterable[Doc]): The reference documents.
    key (str): The group of `doc.spans` for reference and prediction.
    batch_size (Optional[int]): Documents at once; None for the pipeline's own.
    YIELDS (Annotation): One for each document, in order. One that failed has the
        status "failed" and no prediction.
    """
    pairs = ((doc.text, doc) for doc in docs)
    for passed in FaultTolerantPipe[Doc](nlp, key)(pairs, batch_size):
        found, doc = passed.doc, passed.source
        gold = gold_spans(doc, key)
        predicted, scores = _scored_spans(found, key)
        attrs = found.spans[key].attrs
        yield Annotation(
            text=doc.text,
            gold=gold,
            predicted=predicted,
            scores=[1.0] * len(predicted) if scores is None else scores,
            status=attrs.get("status", "ok"),
            issues=list(attrs.get("issues", ())),
            unaligned=sum(
                found.char_span(span.start, span.end) is None for span in gold
            ),
            lengths=_lengths(found, [*gold, *predicted]),
            sentences=sentence_starts(found) or sentence_starts(doc) or [],
            scored=scores is not None,
        )


def _scored_spans(doc: Doc, key: str) -> tuple[list[CharSpan], list[float] | None]:
    """The predicted spans, each once, and their scores, where there is one for each."""
    spans = group_spans(doc, key)
    group = list(doc.spans[key])
    scores = doc.spans[key].attrs.get("scores", ()) if group else ()
    if len(scores) != len(group):
        return spans, None
    first: dict[CharSpan, float] = {}
    for span, score in zip(group, scores, strict=True):
        place = CharSpan(span.start_char, span.end_char, span.label_)
        first.setdefault(place, float(score))
    return spans, [first[span] for span in spans]


def _lengths(doc: Doc, spans: Iterable[CharSpan]) -> dict[tuple[int, int], int]:
    """How many tokens of a Doc each range touches, at least 1."""
    starts = [token.idx for token in doc]
    ends = [token.idx + len(token) for token in doc]
    lengths = {}
    for start, end, _ in spans:
        touched = bisect_left(starts, end) - bisect_right(ends, start)
        lengths[start, end] = max(1, touched)
    return lengths


def evaluate(
    annotations: Iterable[Annotation],
    seed: int = 0,
    mentions: Mentions | None = None,
    metrics: Iterable[Metric] = (),
) -> dict[str, Any]:
    """Score annotated documents.

    annotations (Iterable[Annotation]): The documents.
    seed (int): Fixes the bootstrap.
    mentions (Optional[Mentions]): What the training data holds.
    metrics (Iterable[Metric]): Further metrics, each a function of the documents that
        returns entries of the evaluation.
    RETURNS (Dict[str, Any]): The evaluation: the scores and counts of
        `score_documents`, `unaligned_gold`, `statuses`, `documents`, `interval` (95 %,
        of micro-F1), `threshold_curve` and `best_threshold`; the breakdowns of
        `break_down`, with `by_length` where lengths are known, and `by_mention` and
        `train_mentions` where mentions are given; `errors` and `errors_overlapping`
        of `count_mistakes`; `calibration` (None without scores); and what
        `metrics` return.
    RAISES (ValueError): There are no documents.
    """
    rows = list(annotations)
    if not rows:
        raise ValueError(Errors.G602.format())
    gold, predicted = [row.gold for row in rows], [row.predicted for row in rows]
    placed = place_spans(gold, predicted)
    result = score_placed(placed)
    counts = [document_counts(row.gold, row.predicted) for row in rows]
    low, high = bootstrap_interval(counts, SAMPLES, seed)
    right = [
        span in wanted
        for row in rows
        for wanted in [set(row.gold)]
        for span in row.predicted
    ]
    scores = [score for row in rows for score in row.scores]
    curve = threshold_curve(scores, right, result["gold"])
    result["unaligned_gold"] = sum(row.unaligned for row in rows)
    result["statuses"] = dict(Counter(row.status for row in rows))
    result["documents"] = len(rows)
    result["interval"] = {"low": low, "high": high, "samples": SAMPLES, "seed": seed}
    for metric in metrics:
        result |= metric(rows)
    result |= break_down(placed, _classes(rows, mentions))
    if mentions is not None:
        result["train_mentions"] = mentions.count
    errors, overlapping = count_mistakes(gold, predicted)
    result["errors"], result["errors_overlapping"] = errors, overlapping
    own = [score if row.scored else None for row in rows for score in row.scores]
    result["calibration"] = calibration(own, right)
    result["threshold_curve"] = curve
    result["best_threshold"] = best_threshold(curve)
    return result


def _classes(rows: list[Annotation], mentions: Mentions | None) -> dict[str, Classes]:
    others = {}
    lengths = [row.lengths for row in rows if row.lengths is not None]
    if len(lengths) == len(rows):
        others["by_length"] = length_classes(lengths)
    if mentions is not None:
        texts = [row.text for row in rows]
        others["by_mention"] = mention_classes(texts, mentions)
    return others


def check_gold(docs: list[Doc], key: str) -> None:
    """Check that documents are annotated at all.

    docs (List[Doc]): The reference documents.
    key (str): The group of `doc.spans`.
    RAISES (ValueError): There are none, or none has the group.
    """
    if not docs:
        raise ValueError(Errors.G602.format())
    if not any(key in doc.spans for doc in docs):
        keys = sorted({name for doc in docs for name in doc.spans})
        raise ValueError(Errors.G603.format(key=key, found=keys))


def write_evaluation(
    result: dict[str, Any], rows: Iterable[Annotation], scores_file: Path
) -> Path:
    """Write an evaluation and, beside it, its documents for the report.

    result (Dict[str, Any]): The evaluation.
    rows (Iterable[Annotation]): The documents.
    scores_file (Path): `NAME.json`; the documents go to `NAME.spans.jsonl`.
    RETURNS (Path): The file of the documents.
    """
    spans_file = scores_file.with_suffix(SUFFIX)
    # Both or neither: the report reads one beside the other.
    with replaced_file(scores_file) as fresh_scores:
        fresh_scores.write_text(json_text(result), encoding="utf8")
        with replaced_file(spans_file) as fresh_spans:
            with fresh_spans.open("w", encoding="utf8") as out:
                for row in rows:
                    out.write(json.dumps(row.to_json(), ensure_ascii=False) + "\n")
    return spans_file
