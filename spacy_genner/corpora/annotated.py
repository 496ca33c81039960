"""What a converter yields, and how sentences become documents."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..formats import CharSpan


class Annotated(NamedTuple):
    """One annotated text.

    text (str): The text.
    spans (List[CharSpan]): Its spans, in characters, end exclusive.
    doc_id (str): The source's name for the document, or its number there.
    sentence_starts (Optional[List[int]]): Where sentences start, in characters; None
        where the source does not say.
    """

    text: str
    spans: list[CharSpan]
    doc_id: str
    sentence_starts: list[int] | None


class Sentence(NamedTuple):
    """One sentence of a source that parts its documents into sentences.

    text (str): The text.
    spans (List[CharSpan]): Its spans, in characters of the sentence.
    doc_id (str): The document that it belongs to.
    """

    text: str
    spans: list[CharSpan]
    doc_id: str


@dataclass(frozen=True)
class ConvertOptions:
    """How a source is read.

    join_sentences (Optional[bool]): Whether the sentences of a document in a row make
        one Doc, or a Doc each; None leaves it to the source.
    spans_key (str): The group of `doc.spans` that spans are read from, where the
        source holds Docs.
    lang (str): The language, where the source holds Docs.
    """

    join_sentences: bool | None = None
    spans_key: str = "sc"
    lang: str = "en"


Converter = Callable[[Path, ConvertOptions], Iterator[Annotated]]


def group_sentences(
    sentences: Iterable[Sentence], join: bool, glue: str = " "
) -> Iterator[Annotated]:
    """Make documents of sentences.

    sentences (Iterable[Sentence]): The sentences; those of one document in a row.
    join (bool): Whether sentences of one document are joined, or stay by themselves.
    glue (str): What joins them.
    YIELDS (Annotated): The documents.
    """
    waiting: list[Sentence] = []
    for sentence in sentences:
        if waiting and (not join or sentence.doc_id != waiting[0].doc_id):
            yield _joined(waiting, glue)
            waiting = []
        waiting.append(sentence)
    if waiting:
        yield _joined(waiting, glue)


def _joined(sentences: list[Sentence], glue: str) -> Annotated:
    starts: list[int] = []
    spans: list[CharSpan] = []
    length = 0
    for sentence in sentences:
        starts.append(length)
        spans.extend(
            CharSpan(length + span.start, length + span.end, span.label)
            for span in sentence.spans
        )
        length += len(sentence.text) + len(glue)
    text = glue.join(sentence.text for sentence in sentences)
    return Annotated(text, spans, sentences[0].doc_id, starts)
