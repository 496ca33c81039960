"""Annotated documents: the values that pass between corpus files and Docs.

A reader turns a corpus file into `Annotated` documents, and a writer turns Docs into a
corpus file. This module defines the documents, the options and the counts of a
conversion, and the operations that several corpus formats share: choosing documents,
joining and splitting sentences, and leaving out spans that an output can't represent.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

from spacy.tokens import Doc

from ..errors import Errors, Warnings, warn
from ..formats import CharSpan, Format, InlineFormat, crossings, drop_crossing
from ..formats.base import sort_spans
from ..io import numbered_lines

EXTENTS = ("full", "head")
DISCONTINUOUS = ("refuse", "join", "split")
OFFSETS = ("characters", "utf-16", "bytes")

# Counts and messages list so many items of a kind.
MAX_LISTED = 5

# Kinds of diagnostics.
OVER_END = "over_sentence_end"
NO_STARTS = "no_sentence_starts"
NO_NAME = "no_doc_id"

# Reasons to leave out a span, and kinds of changes, as the summary prints them.
NO_BOUNDARY = "fits no token boundary"
BLANK_EDGE = "has white space at its edge"
CROSSES = "crosses a longer one"
HIDDEN = "is hidden by the text's own characters"
ELSEWHERE = "would be given the place of another occurrence"
NO_WORDS = "texts of white space alone, not written"


class Diagnostic(NamedTuple):
    """A part of the source that a reader could not take over unchanged.

    kind (str): The kind, as a word or a short phrase. Conversions count each kind.
    message (str): The item and its place. Conversions list the first few.
    """

    kind: str
    message: str


class Annotated(NamedTuple):
    """An annotated text.

    text (str): The text.
    spans (list[CharSpan]): The spans, in characters, end exclusive.
    doc_id (str): The ID of the document in the source, or its number there.
    sentence_starts (list[int] | None): The character offsets where sentences start, or
        None if the source does not mark sentences.
    diagnostics (tuple[Diagnostic, ...]): The parts that could not be taken over
        unchanged.
    """

    text: str
    spans: list[CharSpan]
    doc_id: str
    sentence_starts: list[int] | None
    diagnostics: tuple[Diagnostic, ...] = ()


class Sentence(NamedTuple):
    """A sentence of a source that splits its documents into sentences.

    text (str): The text.
    spans (list[CharSpan]): The spans, in characters of the sentence.
    doc_id (str): The ID of the document that contains the sentence.
    """

    text: str
    spans: list[CharSpan]
    doc_id: str


@dataclass(frozen=True)
class ConvertOptions:
    """Options for reading a corpus.

    join_sentences (bool | None): Whether consecutive sentences of a document form one
        Doc (True) or one Doc each (False). None selects the default of the corpus
        format.
    spans_key (str): The group of `doc.spans` to read, if the source contains Docs.
    lang (str): The language, if the source contains Docs.
    documents (frozenset[str] | None): The IDs of the documents to read, or None for
        all.
    extent (str): "full" or "head": the part of a mention that becomes its span, if the
        source marks both.
    discontinuous (str): The treatment of an entity in several parts: "refuse" raises
        an error, "join" makes one span from the first part to the last, and "split"
        makes one span of each part.
    triggers (bool): Whether to read event triggers as spans, too.
    format (str | None): The output format in a corpus for instruction tuning, or None
        to detect it from the outputs.
    detokenize (bool): Whether to remove the spaces that tokenization inserted.
    token_column (str | None): The column of the tokens in a CoNLL file, as a number
        from 1 or as a name in the header row. None detects it.
    tag_columns (tuple[str, ...]): The columns of the tags in a CoNLL file, likewise.
        Empty selects the default of the corpus format.
    offsets (str): What the offsets in a JSON file count: "characters" (code points),
        "utf-16" (units of UTF-16, as in JavaScript) or "bytes" (of UTF-8).
    RAISES (ValueError): `extent`, `discontinuous` or `offsets` has another value.
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
    token_column: str | None = None
    tag_columns: tuple[str, ...] = ()
    offsets: str = "characters"

    def __post_init__(self) -> None:
        choices = {
            "extent": EXTENTS,
            "discontinuous": DISCONTINUOUS,
            "offsets": OFFSETS,
        }
        for name, allowed in choices.items():
            found = getattr(self, name)
            if found not in allowed:
                raise ValueError(
                    Errors.G530.format(
                        name=name, found=found, expected=", ".join(allowed)
                    )
                )


@dataclass(frozen=True)
class WriteOptions:
    """Options for writing a corpus.

    spans_key (str): The group of `doc.spans` to write.
    format (str): The output format, for the corpus format "alpaca".
    definitions (Mapping[str, str]): Labels and their definitions, for the corpus format
        "alpaca". They come first, in this order. Other labels of the corpus follow.
    """

    spans_key: str = "sc"
    format: str = "inline_bracketed"
    definitions: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ConversionCounts:
    """The counts of a conversion.

    documents (int): Documents written.
    empty (int): Documents without text, which are left out.
    sentences (int): Sentences, if the source marks them.
    spans (int): Distinct spans.
    duplicates (int): Repetitions of spans in the source.
    unaligned (int): The spans that fit no token boundary, included in `spans`.
    labels (dict[str, int]): The number of spans of each label.
    examples (list[str]): The first few unaligned spans.
    diagnostics (dict[str, int]): The diagnostics of the reader, by kind.
    left_out (dict[str, int]): Spans that the output can't represent, by reason.
    changed (dict[str, int]): Changes that the output made necessary, by kind.
    listed (dict[str, list[str]]): The first few items of each kind and reason.
    """

    documents: int = 0
    empty: int = 0
    sentences: int = 0
    spans: int = 0
    duplicates: int = 0
    unaligned: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    diagnostics: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    listed: dict[str, list[str]] = field(default_factory=dict)

    def diagnose(self, diagnostic: Diagnostic) -> None:
        """Count a diagnostic of the reader.

        diagnostic (Diagnostic): The diagnostic.
        """
        self._count(self.diagnostics, diagnostic.kind, diagnostic.message)

    def leave_out(self, reason: str, span: str) -> None:
        """Count a span that the output can't represent.

        reason (str): The reason, as a short phrase.
        span (str): A description of the span.
        """
        self._count(self.left_out, reason, span)

    def change(self, kind: str, place: str) -> None:
        """Count a change that the output makes necessary.

        kind (str): The kind, as a short phrase.
        place (str): A description of the place.
        """
        self._count(self.changed, kind, place)

    def _count(self, counts: dict[str, int], kind: str, item: str) -> None:
        counts[kind] = counts.get(kind, 0) + 1
        items = self.listed.setdefault(kind, [])
        if len(items) < MAX_LISTED:
            items.append(item)


Converter = Callable[[Path, ConvertOptions], Iterator[Annotated]]
Writer = Callable[[Iterable[Doc], Path, WriteOptions, ConversionCounts], None]


# Choosing documents


def read_document_list(path: Path) -> frozenset[str]:
    """Read document IDs, one a line, and skip empty lines.

    path (Path): The file.
    RETURNS (frozenset[str]): The IDs, without white space around them.
    RAISES (ValueError): The file is not UTF-8, or contains no ID.
    """
    lines = (line.strip() for _, line in numbered_lines(path))
    doc_ids = frozenset(line for line in lines if line)
    if not doc_ids:
        raise ValueError(Errors.G531.format(path=path))
    return doc_ids


def is_chosen(doc_id: str, options: ConvertOptions) -> bool:
    """Check whether the options choose a document.

    doc_id (str): The ID of the document.
    options (ConvertOptions): The options.
    RETURNS (bool): Whether the document is to be read.
    """
    chosen = options.documents
    return chosen is None or not chosen.isdisjoint(_accepted_ids(doc_id))


def read_chosen(
    converter: Converter, path: Path, options: ConvertOptions
) -> Iterator[Annotated]:
    """Read the documents of a corpus that the options choose, and warn about IDs that
    the corpus lacks.

    converter (Converter): The reader.
    path (Path): The corpus.
    options (ConvertOptions): The options.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): The corpus contains none of the documents, or the reader raises
        the error.
    """
    if options.documents is None:
        yield from converter(path, options)
        return
    missing = set(options.documents)
    others: dict[str, None] = {}
    for annotated in converter(path, options):
        if is_chosen(annotated.doc_id, options):
            missing.difference_update(_accepted_ids(annotated.doc_id))
            yield annotated
        elif len(others) < MAX_LISTED:
            others[annotated.doc_id] = None
    total = len(options.documents)
    if len(missing) == total:
        found = ", ".join(map(repr, others)) or "none"
        raise ValueError(Errors.G532.format(count=total, path=path, found=found))
    if missing:
        first = ", ".join(sorted(missing)[:MAX_LISTED])
        warn(
            Warnings.W510.format(
                count=len(missing), total=total, path=path, first=first
            )
        )


def _accepted_ids(doc_id: str) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): The whole ID, and the part after its last colon, such
    as `95369245` of `MEDLINE:95369245`."""
    return doc_id, doc_id.rpartition(":")[2]


# Joining and splitting sentences


def refuse_splitting(path: Path, options: ConvertOptions, corpus_format: str) -> None:
    """Refuse to split the documents of a format that marks no sentences.

    path (Path): The corpus.
    options (ConvertOptions): The options.
    corpus_format (str): The name of the corpus format.
    RAISES (ValueError): The options request one Doc a sentence.
    """
    if options.join_sentences is False:
        raise ValueError(Errors.G533.format(path=path, form=corpus_format))


def group_sentences(
    sentences: Iterable[Sentence], join: bool, glue: str = " "
) -> Iterator[Annotated]:
    """Turn sentences into documents.

    sentences (Iterable[Sentence]): The sentences. Those of a document are consecutive.
    join (bool): Whether to join the sentences of a document. Otherwise each sentence
        becomes a document.
    glue (str): The separator between joined sentences.
    YIELDS (Annotated): The documents.
    """
    texts = (Annotated(*sentence, sentence_starts=[0]) for sentence in sentences)
    yield from join_texts(texts, glue) if join else texts


def arrange_sentences(
    texts: Iterable[Annotated], join: bool | None
) -> Iterator[Annotated]:
    """Join or split texts that may be documents or sentences.

    texts (Iterable[Annotated]): The texts.
    join (bool | None): Whether to join the texts of a document (True), to split them
        into sentences (False), or to leave them unchanged (None).
    YIELDS (Annotated): The resulting texts.
    """
    if join:
        yield from join_texts(texts)
    elif join is False:
        yield from split_sentences(texts)
    else:
        yield from texts


def join_texts(texts: Iterable[Annotated], glue: str = " ") -> Iterator[Annotated]:
    """Join consecutive texts of one document.

    texts (Iterable[Annotated]): The texts. A text without sentence starts counts as
        one sentence.
    glue (str): The separator between the texts.
    YIELDS (Annotated): The documents.
    """
    for doc_id, group in groupby(texts, key=lambda annotated: annotated.doc_id):
        parts: list[str] = []
        spans: list[CharSpan] = []
        starts: list[int] = []
        diagnostics: list[Diagnostic] = []
        offset = 0
        for annotated in group:
            parts.append(annotated.text)
            spans += [_shifted(span, offset) for span in annotated.spans]
            starts += [offset + start for start in annotated.sentence_starts or [0]]
            diagnostics += annotated.diagnostics
            offset += len(annotated.text) + len(glue)
        yield Annotated(glue.join(parts), spans, doc_id, starts, tuple(diagnostics))


def split_sentences(texts: Iterable[Annotated]) -> Iterator[Annotated]:
    """Split documents into sentences.

    texts (Iterable[Annotated]): The documents.
    YIELDS (Annotated): The sentences, without the white space around them. A span that
        crosses the end of a sentence is left out and becomes a diagnostic of the
        sentence where it starts. A document without sentence starts stays whole and
        has a diagnostic.
    """
    for annotated in texts:
        if annotated.sentence_starts:
            yield from _sentences(annotated, annotated.sentence_starts)
        else:
            unsplit = Diagnostic(NO_STARTS, f"document {annotated.doc_id}")
            yield annotated._replace(diagnostics=(*annotated.diagnostics, unsplit))


def _sentences(annotated: Annotated, starts: list[int]) -> Iterator[Annotated]:
    diagnostics = annotated.diagnostics
    for start, end in pairwise(sorted({0, *starts, len(annotated.text)})):
        whole = annotated.text[start:end]
        first = start + len(whole) - len(whole.lstrip())
        text = whole.strip()
        spans: list[CharSpan] = []
        for span in annotated.spans:
            if not start <= span.start < end:
                continue
            if first <= span.start and span.end <= first + len(text):
                spans.append(_shifted(span, -first))
            else:
                surface = annotated.text[span.start : span.end]
                message = f"{surface!r} ({span.label}), document {annotated.doc_id}"
                diagnostics = (*diagnostics, Diagnostic(OVER_END, message))
        if text or diagnostics:
            yield Annotated(text, spans, annotated.doc_id, [0], diagnostics)
        diagnostics = ()


def _shifted(span: CharSpan, offset: int) -> CharSpan:
    return CharSpan(span.start + offset, span.end + offset, span.label)


# Offsets


class OffsetMap:
    """Converts the offsets of a text to characters.

    text (str): The text.
    unit (str): What the offsets count: "characters", "utf-16" or "bytes".
    """

    def __init__(self, text: str, unit: str = "characters"):
        self.size = len(text)
        self._starts: dict[int, int] | None = None
        if unit != "characters" and not text.isascii():
            self._starts = {}
            at = 0
            for number, char in enumerate(text):
                self._starts[at] = number
                at += _width(char, unit)
            self._starts[at] = self.size

    def __call__(self, offset: int) -> int | None:
        """RETURNS (int | None): The offset in characters, or None if the text has no
        character that starts at the offset."""
        if self._starts is None:
            return offset if 0 <= offset <= self.size else None
        return self._starts.get(offset)


def _width(char: str, unit: str) -> int:
    return 1 + (char > "\uffff") if unit == "utf-16" else len(char.encode())


def same_text(first: str, second: str) -> bool:
    """Compare the stated text of a span with that of the document. Tools change white
    space when they repeat a text: a page shows line breaks and several spaces as one.

    first (str): A text.
    second (str): Another text.
    RETURNS (bool): Whether they are equal apart from white space.
    """
    return "".join(first.split()) == "".join(second.split())


def describe_offsets(text: str, start: int, end: int, surface: str) -> str:
    """Describe the unit of offsets that don't select the stated text of a span.

    text (str): The text.
    start (int): The start of the span.
    end (int): The end of the span, exclusive.
    surface (str): The stated text of the span.
    RETURNS (str): A clause: the unit that fits, or the unit that is expected.
    """
    units = {
        "utf-16": "UTF-16 units (as in JavaScript: an emoji counts twice)",
        "bytes": "bytes of UTF-8",
    }
    for unit, name in units.items():
        offsets = OffsetMap(text, unit)
        first, last = offsets(start), offsets(end)
        if first is None or last is None or (first, last) == (start, end):
            continue
        if same_text(text[first:last], surface):
            return (
                f"the offsets count {name}, but have to count characters (code points)"
            )
    if end < len(text) and text[start : end + 1] == surface:
        return "the end includes the last character, but has to be exclusive"
    if start > 0 and surface in (text[start - 1 : end], text[start - 1 : end - 1]):
        return "the offsets count from 1, but have to count from 0"
    return "offsets count characters (code points), not bytes or UTF-16 units"


# Writing documents


def doc_id_of(doc: Doc) -> str:
    """Return the ID that the source gives to a document.

    doc (Doc): The Doc.
    RETURNS (str): The ID, which is empty if there is none.
    """
    return str(doc.user_data.get("doc_id", ""))


def describe_span(doc: Doc, span: CharSpan) -> str:
    """Describe a span for the lists of a conversion.

    doc (Doc): The Doc.
    span (CharSpan): The span.
    RETURNS (str): The text and label of the span, and the ID of the document.
    """
    # `doc.text` would join all tokens for each span.
    tokens = doc.char_span(span.start, span.end, alignment_mode="expand")
    text = "" if tokens is None else tokens.text
    if tokens is not None:
        text = text[span.start - tokens.start_char : span.end - tokens.start_char]
    return f"{text!r} ({span.label}), document {doc_id_of(doc)}"


def representable_spans(
    doc: Doc, fmt: Format, spans: Iterable[CharSpan], counts: ConversionCounts
) -> list[CharSpan]:
    """Leave out and count the spans that an output format can't represent.

    doc (Doc): The document.
    fmt (Format): The output format.
    spans (Iterable[CharSpan]): The spans.
    counts (ConversionCounts): Counts the spans that are left out.
    RETURNS (list[CharSpan]): The other spans, in order.
    """
    kept: list[CharSpan] = []
    text = doc.text
    for span in sort_spans(set(spans)):
        surface = text[span.start : span.end]
        if surface != surface.strip():
            counts.leave_out(BLANK_EDGE, describe_span(doc, span))
        else:
            kept.append(span)
    if not fmt.allows_crossing and crossings(kept):
        kept, crossing = drop_crossing(kept)
        for span in crossing:
            counts.leave_out(CROSSES, describe_span(doc, span))
    lost = set(fmt.unsayable(text, kept))
    for span in sort_spans(lost):
        reason = HIDDEN if isinstance(fmt, InlineFormat) else ELSEWHERE
        counts.leave_out(reason, describe_span(doc, span))
    return sort_spans(span for span in kept if span not in lost)
