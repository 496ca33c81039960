"""What a converter yields, and how sentences become documents."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import Errors
from ..formats import CharSpan

EXTENTS = ("full", "head")
DISCONTINUOUS = ("refuse", "join", "split")


class Remark(NamedTuple):
    """Something that a reader could not take over as it stands in the source.

    kind (str): What kind of thing, as one word or short phrase: it is counted.
    message (str): What and where it is: the first few are listed.
    """

    kind: str
    message: str


class Annotated(NamedTuple):
    """One annotated text.

    text (str): The text.
    spans (List[CharSpan]): Its spans, in characters, end exclusive.
    doc_id (str): The source's name for the document, or its number there.
    sentence_starts (Optional[List[int]]): Where sentences start, in characters; None
        where the source does not say.
    remarks (Tuple[Remark, ...]): What could not be taken over as it stands.
    """

    text: str
    spans: list[CharSpan]
    doc_id: str
    sentence_starts: list[int] | None
    remarks: tuple[Remark, ...] = ()


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
    documents (Optional[FrozenSet[str]]): The names of the documents to read, as the
        source has them; None for all.
    extent (str): "full" or "head": how much of a mention is its span, where the
        source says both.
    discontinuous (str): What becomes of an entity in several parts: "refuse" raises
        an error, "join" makes one span from the first part to the last, "split" makes
        a span of each part.
    triggers (bool): Whether the words that stand for events are read too, where the
        source marks them.
    format (Optional[str]): The format of the outputs, where the source is made for
        instruction tuning; None tells it by looking at them.
    detokenize (bool): Whether texts that were parted into tokens are put together.
    RAISES (ValueError): `extent` or `discontinuous` is not one of these.
    """

    join_sentences: bool | None = None
    spans_key: str = "sc"
    lang: str = "en"
    documents: frozenset[str] | None = None
    extent: str = "full"
    discontinuous: str = "refuse"
    triggers: bool = False
    format: str | None = None
    detokenize: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("extent", EXTENTS), ("discontinuous", DISCONTINUOUS)):
            found = getattr(self, name)
            if found not in allowed:
                raise ValueError(
                    Errors.G530.format(
                        name=name, found=found, expected=", ".join(allowed)
                    )
                )


Converter = Callable[[Path, ConvertOptions], Iterator[Annotated]]


def refuse_splitting(path: Path, options: ConvertOptions, form: str) -> None:
    """Raise an error where sentences are asked for that the source doesn't part.

    path (Path): The source.
    options (ConvertOptions): What is asked for.
    form (str): The name of the source's form.
    RAISES (ValueError): A Doc a sentence is asked for.
    """
    if options.join_sentences is False:
        raise ValueError(Errors.G533.format(path=path, form=form))


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
