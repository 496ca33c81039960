"""The scoring of the study "Assessment of Generative Named Entity Recognition in the
Era of Large Language Models" (arXiv 2601.17898), for comparison with its figures.

The study scores a sentence by label and offsets if the output without its markup equals
the sentence exactly. Otherwise, it scores by how often each pair of label and text
occurs in reference and output (multisets). In that case its scoring ignores:

- the offsets: marking one of two mentions of `Lisbon` in place of the other counts as
  correct, and so does a mention marked at a wrong position in the sentence;
- the rest of the sentence, as long as the texts of the mentions are there;
- nesting: neither outer nor inner mentions affect whether a mention is correct.

It is stricter in one respect: a mention in the output that cannot be a span here (a
text that is not in the source, an unknown label, a duplicate) is a wrong prediction.

Two differences from the study remain. If the output spells a mention differently from
the source and its position is clear, this project uses the spelling of the source: the
mention is correct here and wrong in the study. And the parser of the study takes
literal brackets in a text for markup, in the reference too. Prefer the exact scores:
with a decoder that copies the input they are the same.
"""

import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..evaluation.breakdowns import Mentions
from ..evaluation.card import describe_data, describe_pipeline, timed_run
from ..evaluation.evaluate import annotate, evaluate
from ..evaluation.records import Annotation
from ..evaluation.scores import Counts, document_counts, prf
from ..formats import CharSpan

# Issue codes of outputs that are not an exact copy of the input.
COPY_ISSUES = frozenset({"copy_differs", "extra_text", "truncated"})
# Issue codes that each stand for one mention without a span.
LEFT_OUT_ISSUES = frozenset({"duplicate", "not_in_text", "unknown_label"})


def study_scores(annotations: Iterable[Annotation]) -> dict[str, Any]:
    """Score documents as the study does.

    annotations (Iterable[Annotation]): The documents.
    RETURNS (dict[str, Any]): `study_p`, `study_r` and `study_f`; `study_by_text`, the
        number of documents scored by label and text; and `study_left_out`, the number
        of mentions that only this scoring counts as wrong predictions.
    """
    gold = predicted = correct = by_text = left_out = 0
    for row in annotations:
        if copy_differs(row.issues):
            by_text += 1
            counts = text_counts(row.gold, row.predicted, row.text, row.sentences)
        else:
            counts = document_counts(row.gold, row.predicted)
        gold += counts.gold
        predicted += counts.predicted
        correct += counts.correct
        left_out += sum(issue.get("code") in LEFT_OUT_ISSUES for issue in row.issues)
    scores = prf(Counts(gold, predicted + left_out, correct))
    result: dict[str, Any] = {f"study_{key}": value for key, value in scores.items()}
    return {**result, "study_by_text": by_text, "study_left_out": left_out}


def copy_differs(issues: Iterable[Mapping[str, Any]]) -> bool:
    """Check whether an output differs from its input.

    issues (Iterable[Mapping[str, Any]]): The issues of the document.
    RETURNS (bool): Whether any issue is about the copy.
    """
    return any(issue.get("code") in COPY_ISSUES for issue in issues)


def text_counts(
    gold: Collection[CharSpan],
    predicted: Collection[CharSpan],
    text: str,
    sentences: Sequence[int] = (),
) -> Counts:
    """Count pairs of label and text in each sentence.

    gold (Collection[CharSpan]): The reference spans.
    predicted (Collection[CharSpan]): The predicted spans.
    text (str): The text of the document.
    sentences (Sequence[int]): The start of each sentence, in characters, increasing. If
        empty, the text is one sentence. A span belongs to the sentence it starts in.
    RETURNS (Counts): The numbers of pairs.
    """

    def pairs(spans: Collection[CharSpan]) -> Counter[tuple[int, str, str]]:
        return Counter(
            (bisect_right(sentences, s.start), s.label, text[s.start : s.end])
            for s in set(spans)
        )

    gold_pairs, predicted_pairs = pairs(gold), pairs(predicted)
    shared = gold_pairs & predicted_pairs
    return Counts(gold_pairs.total(), predicted_pairs.total(), shared.total())


def score_pipeline(
    nlp: Language,
    docs: Sequence[Doc],
    key: str,
    *,
    name: str,
    data: str,
    seed: int = 0,
    mentions: Mentions | None = None,
    batch_size: int = 64,
) -> tuple[dict[str, Any], list[Annotation]]:
    """Score a pipeline on annotated documents, as `genner evaluate` does. Documents
    with a label set of their own are annotated with it, also by a model that was
    trained for fixed labels.

    nlp (Language): The pipeline.
    docs (Sequence[Doc]): The documents.
    key (str): The group of `doc.spans`.
    name (str): The path of the pipeline, for the description.
    data (str): The path of the documents, for the description.
    seed (int): The seed of the bootstrap.
    mentions (Mentions | None): The mentions of the training data.
    batch_size (int): The number of documents in a batch.
    RETURNS (tuple[dict[str, Any], list[Annotation]]): The evaluation, and the annotated
        documents.
    """
    with warnings.catch_warnings():
        # The study asks a tuned adapter with other labels on purpose.
        warnings.filterwarnings("ignore", message=r"\[W410\]")
        rows, run = timed_run(
            nlp, docs, lambda: list(annotate(nlp, docs, key, batch_size))
        )
    result = evaluate(rows, seed, mentions, metrics=[study_scores])
    result["pipeline"] = describe_pipeline(nlp, name, key)
    result["data"] = describe_data(docs, key, data)
    result["run"] = run
    return result, rows
