"""Annotated documents between a corpus file and a Doc: sentences, options, counts."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

from spacy.tokens import Doc

from ..errors import Errors, Warnings, warn
from ..formats import CharSpan, Format, InlineFormat, crossings, drop_crossing
from ..formats.base import ordered
from ..io import numbered_lines

EXTENTS = ("full", "head")
DISCONTINUOUS = ("refuse", "join", "split")


class Diagnostic(NamedTuple):
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
    remarks (Tuple[Diagnostic, ...]): What could not be taken over as it stands.
    """

    text: str
    spans: list[CharSpan]
    doc_id: str
    sentence_starts: list[int] | None
    remarks: tuple[Diagnostic, ...] = ()


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


_LISTED = 5


def read_document_list(path: Path) -> frozenset[str]:
    """Read names of documents, one a line; empty lines are skipped.

    path (Path): The file.
    RETURNS (FrozenSet[str]): The names, without white space at their edges.
    RAISES (ValueError): The file is not UTF-8, or names none.
    """
    lines = (line.strip() for _, line in numbered_lines(path))
    names = frozenset(line for line in lines if line)
    if not names:
        raise ValueError(Errors.G531.format(path=path))
    return names


def names_of(doc_id: str) -> tuple[str, ...]:
    """How a list may name a document: by its whole name, or by what follows its last
    colon, as `95369245` for `MEDLINE:95369245`.

    doc_id (str): The source's name for it.
    RETURNS (Tuple[str, ...]): The names.
    """
    return doc_id, doc_id.rpartition(":")[2]


def is_chosen(doc_id: str, options: ConvertOptions) -> bool:
    """Whether a document is to be read.

    doc_id (str): The source's name for it.
    options (ConvertOptions): Says which documents.
    RETURNS (bool): Whether it is one of them.
    """
    chosen = options.documents
    return chosen is None or not chosen.isdisjoint(names_of(doc_id))


def read_chosen(
    converter: Converter, path: Path, options: ConvertOptions
) -> Iterator[Annotated]:
    """Read the documents of a corpus that the options choose.

    converter (Converter): Reads the corpus.
    path (Path): The corpus.
    options (ConvertOptions): Says which documents, and how they are read.
    YIELDS (Annotated): The documents. Names that the corpus lacks are counted in a
        warning.
    RAISES (ValueError): None of them is there, or the converter raises it.
    """
    if options.documents is None:
        yield from converter(path, options)
        return
    missing = set(options.documents)
    passed: dict[str, None] = {}
    for annotated in converter(path, options):
        if is_chosen(annotated.doc_id, options):
            missing.difference_update(names_of(annotated.doc_id))
            yield annotated
        elif len(passed) < _LISTED:
            passed[annotated.doc_id] = None
    total = len(options.documents)
    if len(missing) == total:
        found = ", ".join(map(repr, passed)) or "none"
        raise ValueError(Errors.G532.format(count=total, path=path, found=found))
    if missing:
        first = ", ".join(sorted(missing)[:_LISTED])
        warn(
            Warnings.W510.format(
                count=len(missing), total=total, path=path, first=first
            )
        )


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
        yield _sentences_joined(list(group))


def _sentences_joined(texts: list[Annotated]) -> Annotated:
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
            remark = Diagnostic(NO_STARTS, f"document {annotated.doc_id}")
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
                remarks = (*remarks, Diagnostic(OVER_END, message))
        if text or remarks:
            yield Annotated(text, spans, annotated.doc_id, [0], remarks)
        remarks = ()


LISTED = 5


@dataclass
class ConversionCounts:
    """What a conversion has met.

    documents (int): Documents written.
    empty (int): Documents without text, which are left out.
    sentences (int): Sentences, where the source parts them.
    spans (int): Spans, each once.
    duplicates (int): Spans that the source says more than once.
    unaligned (int): Those of `spans` that no token boundary fits.
    labels (Dict[str, int]): The spans of each label.
    examples (List[str]): The first few that do not fit.
    remarks (Dict[str, int]): What the reader of the source remarked on, by kind.
    left_out (Dict[str, int]): Spans that the form of the output can't say, by reason.
    changed (Dict[str, int]): What the form of the output can't say otherwise than
        changed, by what it is.
    listed (Dict[str, List[str]]): The first few of each of these kinds.
    """

    documents: int = 0
    empty: int = 0
    sentences: int = 0
    spans: int = 0
    duplicates: int = 0
    unaligned: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    remarks: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    listed: dict[str, list[str]] = field(default_factory=dict)

    def remark(self, remark: Diagnostic) -> None:
        """Count something that a reader remarked on.

        remark (Diagnostic): What it is.
        """
        self._note(self.remarks, remark.kind, remark.message)

    def leave_out(self, reason: str, span: str) -> None:
        """Count a span that the form of the output can't say.

        reason (str): Why, as one short phrase.
        span (str): The span, for the list.
        """
        self._note(self.left_out, reason, span)

    def change(self, kind: str, what: str) -> None:
        """Count something that the form of the output changes.

        kind (str): What it is, as one short phrase.
        what (str): Where, for the list.
        """
        self._note(self.changed, kind, what)

    def _note(self, counts: dict[str, int], kind: str, what: str) -> None:
        counts[kind] = counts.get(kind, 0) + 1
        texts = self.listed.setdefault(kind, [])
        if len(texts) < LISTED:
            texts.append(what)


# Reasons for which spans are left out, as the summary of a conversion says them.
NO_BOUNDARY = "fits no token boundary"
BLANK_EDGE = "has white space at its edge"
CROSSES = "crosses a longer one"


@dataclass(frozen=True)
class WriteOptions:
    """How a corpus is written.

    spans_key (str): The group of `doc.spans` that holds the spans.
    format (str): The format of the outputs, in the form "alpaca".
    definitions (Mapping[str, str]): Labels and what they stand for, in the form
        "alpaca": they come first, in this order; those of the corpus that are not
        among them follow.
    """

    spans_key: str = "sc"
    format: str = "inline_bracketed"
    definitions: Mapping[str, str] = field(default_factory=dict)


Writer = Callable[[Iterable[Doc], Path, WriteOptions, ConversionCounts], None]


def doc_id_of(doc: Doc) -> str:
    """The source's name for a document.

    doc (Doc): The Doc.
    RETURNS (str): The name; empty where there is none.
    """
    return str(doc.user_data.get("doc_id", ""))


def shown(doc: Doc, span: CharSpan) -> str:
    """A span as lists of lost spans have it.

    doc (Doc): The Doc.
    span (CharSpan): The span.
    RETURNS (str): Its text and label, and the document.
    """
    text = doc.text[span.start : span.end]
    return f"{text!r} ({span.label}), document {doc_id_of(doc)}"


HIDDEN = "is hidden by the text's own characters"
ELSEWHERE = "would be given the place of another occurrence"


def markable_spans(
    doc: Doc, fmt: Format, spans: Iterable[CharSpan], counts: ConversionCounts
) -> list[CharSpan]:
    """Leave out what a format can't say, and count it.

    doc (Doc): The document.
    fmt (Format): The format.
    spans (Iterable[CharSpan]): The spans.
    counts (ConversionCounts): Gets what is left out.
    RETURNS (List[CharSpan]): The others, in order.
    """
    kept: list[CharSpan] = []
    for span in ordered(set(spans)):
        said = doc.text[span.start : span.end]
        if said != said.strip():
            counts.leave_out(BLANK_EDGE, shown(doc, span))
        else:
            kept.append(span)
    if not fmt.allows_crossing and crossings(kept):
        kept, crossing = drop_crossing(kept)
        for span in crossing:
            counts.leave_out(CROSSES, shown(doc, span))
    lost = set(fmt.unsayable(doc.text, kept))
    for span in ordered(lost):
        reason = HIDDEN if isinstance(fmt, InlineFormat) else ELSEWHERE
        counts.leave_out(reason, shown(doc, span))
    return ordered(span for span in kept if span not in lost)
