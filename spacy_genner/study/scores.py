"""Scores in the way of the study "Assessment of Generative Named Entity Recognition in
the Era of Large Language Models" (arXiv 2601.17898), to compare with its figures.

The study scores a sentence by label and offsets where the output, its marks taken out,
is the sentence to the character; else by how often each pair of label and text occurs
in reference and output (multisets). Where the copy differs, that forgives:

- the place: one of two mentions of `Lisbon` marked in place of the other counts as
  right, and so does a mention marked in a wrong place of the sentence;
- whatever became of the rest of the sentence, as long as the texts of the mentions
  are there;
- nesting: a mention is right whatever lies around it or in it.

It is harsher in one thing: what an output names and what can't be a span here (a text
that is not in the source, an unknown label, a span said twice) is a wrong prediction.
Two differences from the study stay. A mention that the output spells otherwise than
the source, and whose place is clear, is read here with the source's spelling: right
here, wrong there. And the study's parser takes literal brackets of a text for marks,
in the reference too. The exact scores are the ones to trust: with a decoder that
copies they are the same.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ..evaluation.records import Annotation
from ..evaluation.scores import document_counts, prf
from ..formats import CharSpan

# Issues that say that the output is no exact copy.
DIFFERS = frozenset({"copy_differs", "extra_text", "truncated"})
# Issues each of which stands for a mention that was left out.
LEFT_OUT = frozenset({"duplicate", "not_in_text", "unknown_label"})


def copy_differs(issues: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an output is no exact copy of its source.

    issues (Iterable[Mapping[str, Any]]): The document's issues.
    RETURNS (bool): Whether one of them says so.
    """
    return any(issue.get("code") in DIFFERS for issue in issues)


def text_counts(
    gold: Collection[CharSpan],
    predicted: Collection[CharSpan],
    text: str,
    sentences: Sequence[int] = (),
) -> tuple[int, int, int]:
    """Count pairs of label and text in each sentence.

    gold (Collection[CharSpan]): The reference.
    predicted (Collection[CharSpan]): The prediction.
    text (str): The document's text.
    sentences (Sequence[int]): Where sentences start (characters), rising; with none
        the text is one sentence. A span belongs to the sentence it starts in.
    RETURNS (Tuple[int, int, int]): Pairs in the reference, in the prediction, in both.
    """

    def pairs(spans: Collection[CharSpan]) -> Counter[tuple[int, str, str]]:
        return Counter(
            (bisect_right(sentences, s.start), s.label, text[s.start : s.end])
            for s in set(spans)
        )

    wanted, found = pairs(gold), pairs(predicted)
    return wanted.total(), found.total(), (wanted & found).total()


def study_scores(annotations: Iterable[Annotation]) -> dict[str, Any]:
    """Score documents in the study's way.

    annotations (Iterable[Annotation]): The documents.
    RETURNS (Dict[str, Any]): `study_p`, `study_r`, `study_f`; `study_by_text`, the
        documents that were scored by label and text; `study_left_out`, the mentions
        that count as wrong predictions here alone.
    """
    totals = [0, 0, 0]
    by_text = left_out = 0
    for row in annotations:
        if copy_differs(row.issues):
            by_text += 1
            counts = text_counts(row.gold, row.predicted, row.text, row.sentences)
        else:
            counts = document_counts(row.gold, row.predicted)
        left_out += sum(issue.get("code") in LEFT_OUT for issue in row.issues)
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
    totals[1] += left_out
    result: dict[str, Any] = {f"study_{key}": v for key, v in prf(totals).items()}
    return {**result, "study_by_text": by_text, "study_left_out": left_out}
