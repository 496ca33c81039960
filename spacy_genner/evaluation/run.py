"""Run a pipeline over annotated documents, score it, and write what was found."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors
from ..formats import CharSpan
from .curve import best_threshold, threshold_curve
from .scorer import gold_spans, group_spans
from .scores import bootstrap_interval, document_counts, score_documents

SAMPLES = 1000


@dataclass
class Annotation:
    """One document with what it holds and what was found.

    text (str): The text.
    gold (List[CharSpan]): The reference.
    predicted (List[CharSpan]): The prediction.
    scores (List[float]): The predicted spans' scores; 1 where there are none.
    status (str): The document's status.
    issues (List[Dict[str, Any]]): Its issues.
    unaligned (int): Reference spans that no boundary of the predicted tokens fits.
    """

    text: str
    gold: list[CharSpan]
    predicted: list[CharSpan]
    scores: list[float]
    status: str
    issues: list[dict[str, Any]] = field(default_factory=list)
    unaligned: int = 0

    def to_json(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): The row of a `.spans.jsonl` file."""
        return {
            "text": self.text,
            "gold": [list(span) for span in self.gold],
            "predicted": [
                [*span, score]
                for span, score in zip(self.predicted, self.scores, strict=True)
            ],
            "status": self.status,
            "issues": self.issues,
        }


def annotate(
    nlp: Language, docs: Iterable[Doc], key: str, batch_size: int | None = None
) -> Iterator[Annotation]:
    """Annotate texts as a user would, and hold the result against the reference.

    nlp (Language): The pipeline; it tokenises the texts itself.
    docs (Iterable[Doc]): The reference documents.
    key (str): The group of `doc.spans` for reference and prediction.
    batch_size (Optional[int]): Documents at once; None for the pipeline's own.
    YIELDS (Annotation): One for each document, in order.
    """
    pairs = ((doc.text, doc) for doc in docs)
    for found, doc in nlp.pipe(pairs, as_tuples=True, batch_size=batch_size):
        gold = gold_spans(doc, key)
        group = found.spans[key] if key in found.spans else None
        attrs = {} if group is None else group.attrs
        predicted = group_spans(found, key)
        scores = [float(score) for score in attrs.get("scores", ())]
        if len(scores) != len(predicted):
            scores = [1.0] * len(predicted)
        yield Annotation(
            text=doc.text,
            gold=gold,
            predicted=predicted,
            scores=scores,
            status=attrs.get("status", "ok"),
            issues=list(attrs.get("issues", ())),
            unaligned=sum(
                found.char_span(span.start, span.end) is None for span in gold
            ),
        )


def evaluate(annotations: Iterable[Annotation], seed: int = 0) -> dict[str, Any]:
    """Score annotated documents.

    annotations (Iterable[Annotation]): The documents.
    seed (int): Fixes the bootstrap.
    RETURNS (Dict[str, Any]): The evaluation: the scores and counts of
        `score_documents`, `unaligned_gold`, `statuses`, `documents`, `interval` (95 %,
        of micro-F1), `threshold_curve` and `best_threshold`.
    RAISES (ValueError): There are no documents.
    """
    rows = list(annotations)
    if not rows:
        raise ValueError(Errors.G602.format())
    result = score_documents([r.gold for r in rows], [r.predicted for r in rows])
    counts = [document_counts(row.gold, row.predicted) for row in rows]
    low, high = bootstrap_interval(counts, SAMPLES, seed)
    right = [span in set(row.gold) for row in rows for span in row.predicted]
    curve = threshold_curve(
        [score for row in rows for score in row.scores], right, result["gold"]
    )
    result["unaligned_gold"] = sum(row.unaligned for row in rows)
    result["statuses"] = dict(Counter(row.status for row in rows))
    result["documents"] = len(rows)
    result["interval"] = {"low": low, "high": high, "samples": SAMPLES, "seed": seed}
    result["threshold_curve"] = curve
    result["best_threshold"] = best_threshold(curve)
    return result


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
    from ..corpora.files import replaced_file

    spans_file = scores_file.with_suffix(".spans.jsonl")
    # Both or neither: the report reads one beside the other.
    with replaced_file(scores_file) as fresh_scores:
        text = json.dumps(result, ensure_ascii=False, indent=2)
        fresh_scores.write_text(text + "\n", encoding="utf8")
        with replaced_file(spans_file) as fresh_spans:
            with fresh_spans.open("w", encoding="utf8") as out:
                for row in rows:
                    out.write(json.dumps(row.to_json(), ensure_ascii=False) + "\n")
    return spans_file
