"""Documents parted into their sentences, or put together of them."""

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise

from ..formats import CharSpan
from .annotated import Annotated, Remark

OVER_END = "over_sentence_end"
NO_STARTS = "no_sentence_starts"
NO_NAME = "no_doc_id"


def arranged(texts: Iterable[Annotated], join: bool | None) -> Iterator[Annotated]:
    """Arrange texts that may be documents or sentences.

    texts (Iterable[Annotated]): The texts.
    join (Optional[bool]): Whether they are joined to documents, or parted into
        sentences; None leaves them as they are.
    YIELDS (Annotated): The texts, as asked for.
    """
    if join:
        yield from join_texts(texts)
    elif join is False:
        yield from split_sentences(texts)
    else:
        yield from texts


def join_texts(texts: Iterable[Annotated]) -> Iterator[Annotated]:
    """Join texts of one document in a row, by a space.

    texts (Iterable[Annotated]): The texts. One that does not say where its sentences
        start is a sentence.
    YIELDS (Annotated): The documents.
    """
    for _, group in groupby(texts, key=lambda annotated: annotated.doc_id):
        yield _joined(list(group))


def _joined(texts: list[Annotated]) -> Annotated:
    starts: list[int] = []
    spans: list[CharSpan] = []
    length = 0
    for text in texts:
        starts += [length + start for start in text.sentence_starts or [0]]
        spans += [
            CharSpan(length + span.start, length + span.end, span.label)
            for span in text.spans
        ]
        length += len(text.text) + 1
    remarks = tuple(remark for text in texts for remark in text.remarks)
    whole = " ".join(text.text for text in texts)
    return Annotated(whole, spans, texts[0].doc_id, starts, remarks)


def split_sentences(texts: Iterable[Annotated]) -> Iterator[Annotated]:
    """Make a text of each sentence.

    texts (Iterable[Annotated]): The documents.
    YIELDS (Annotated): Sentences, without the white space around them. A span that
        goes over the end of one is left out, and is among the remarks of the sentence
        where it starts. A document that does not say where its sentences start stays
        whole, with a remark.
    """
    for annotated in texts:
        if annotated.sentence_starts:
            yield from _sentences(annotated, annotated.sentence_starts)
        else:
            remark = Remark(NO_STARTS, f"document {annotated.doc_id}")
            yield annotated._replace(remarks=(*annotated.remarks, remark))


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
