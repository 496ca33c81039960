"""Documents parted into their sentences."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from ..formats import CharSpan
from .annotated import Annotated, Remark

OVER_END = "over_sentence_end"


def split_sentences(texts: Iterable[Annotated]) -> Iterator[Annotated]:
    """Make a text of each sentence. Where a document does not say where its sentences
    start, it stays as it is.

    texts (Iterable[Annotated]): The documents.
    YIELDS (Annotated): Sentences, without the white space around them. A span that
        goes over the end of one is left out, and is among the remarks of the sentence
        where it starts.
    """
    for annotated in texts:
        if annotated.sentence_starts:
            yield from _sentences(annotated, annotated.sentence_starts)
        else:
            yield annotated


def _sentences(annotated: Annotated, starts: list[int]) -> Iterator[Annotated]:
    remarks = annotated.remarks
    for start, end in pairwise(sorted({0, *starts, len(annotated.text)})):
        whole = annotated.text[start:end]
        first = start + len(whole) - len(whole.lstrip())
        text = whole.strip()
        spans: list[CharSpan] = []
        for span in annotated.spans:
            if not start <= span.start < end:
                continue
            if first <= span.start and span.end <= first + len(text):
                moved = CharSpan(span.start - first, span.end - first, span.label)
                spans.append(moved)
            else:
                said = annotated.text[span.start : span.end]
                message = f"{said!r} ({span.label}), document {annotated.doc_id}"
                remarks = (*remarks, Remark(OVER_END, message))
        if text or remarks:
            yield Annotated(text, spans, annotated.doc_id, [0], remarks)
        remarks = ()
