"""CoNLL columns: a token and its tags on each line.

The flat format has one column of tags, the nested format one column for each nesting
level. The reader accepts every common tagging scheme; the writer uses IOB2.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from spacy.tokens import Doc, Span

from ...errors import Errors
from ...formats import CharSpan
from ...io import replaced_file, temporary_text_file
from ..docbin import aligned_spans, unaligned_spans
from ..documents import (
    BLANK_EDGE,
    NO_BOUNDARY,
    NO_WORDS,
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Diagnostic,
    Sentence,
    WriteOptions,
    describe_span,
    doc_id_of,
    group_sentences,
)
from ..tokenizer import detokenize
from .columns import (
    DOCSTART,
    FLAT,
    INSIDE,
    NESTED,
    OUTSIDE,
    SINGLE,
    Layout,
    Row,
    RowReader,
    Tags,
    detect_layout,
    is_docstart,
    lines_of,
)

OVERLAPS = "overlaps a longer one"
ACROSS = "sentence ends inside of a span, not written"
_END = (*SINGLE, "L", "E")
# The kind of the diagnostic for columns of tags that are not read.
OTHER_COLUMNS = "other_columns_of_tags"

_NEW_DOCUMENT = re.compile(
    r"#\s*(?:newdoc(?:\s+id)?(?:\s*=\s*(?P<new>.*))?"
    r"|(?:hipe\d*:)?document_id\s*=\s*(?P<hipe>.*)"
    r"|id\s+(?P<id>\S+).*)"
)


def read_conll(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read a file with one column of tags: IOB1, IOB2, `I-` only, BILUO or BIOES.

    path (Path): The file. Tabs separate columns, or spaces in a file without tabs.
        Every line has the same number of columns. Empty lines separate sentences, and
        `-DOCSTART-` starts a document. Lines with `#` and without columns are comments.
    options (ConvertOptions): Whether to join the sentences of a document (by default
        not), whether to detokenize texts, and the columns of the token and the tags.
        By default, the tags are in the last column. A header row and a first column
        that counts tokens are detected. Tokens are joined by spaces.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): A line has no tag, a malformed tag or another number of
        columns, or the column of the tags is not certain.
    """
    yield from _documents(path, options, last_only=True)


def read_conll_nested(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read a file in which several columns contain the tags, one for each level. By
    default these are all columns after the token.

    path (Path): The file.
    options (ConvertOptions): As for `read_conll`.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): As for `read_conll`.
    """
    yield from _documents(path, options, last_only=False)


def _documents(
    path: Path, options: ConvertOptions, last_only: bool
) -> Iterator[Annotated]:
    layout = detect_layout(path, options, last_only)
    if layout is None:
        return
    sentences = _sentences(path, layout, last_only)
    texts = group_sentences(sentences, bool(options.join_sentences))
    for annotated in detokenize(texts) if options.detokenize else texts:
        if layout.others:
            columns = ", ".join(str(column + 1) for column in layout.others)
            message = f"{path}: columns {columns}, which 'conll-nested' reads, too"
            note = Diagnostic(OTHER_COLUMNS, message)
            annotated = annotated._replace(diagnostics=(note,))
            layout = layout._replace(others=())
        yield annotated


def _sentences(path: Path, layout: Layout, last_only: bool) -> Iterator[Sentence]:
    reader = RowReader(path, layout, last_only)
    document, name = 1, ""
    rows: list[Row] = []
    any_sentence = False
    for number, line in lines_of(path):
        blank, docstart = not line or line.isspace(), is_docstart(line)
        comment = line.startswith("#") and reader.is_comment(line)
        if not (blank or docstart or comment):
            row = reader.read(number, line)
            if row is not None:
                rows.append(row)
            continue
        starts = _NEW_DOCUMENT.fullmatch(line.strip()) if comment else None
        if (blank or docstart or starts) and rows:
            yield _sentence(rows, name or str(document))
            rows, any_sentence = [], True
        if (docstart or starts) and any_sentence:
            document += 1
        if docstart or starts:
            found = (starts and (starts["new"] or starts["hipe"] or starts["id"])) or ""
            name = found.strip()
    if rows:
        yield _sentence(rows, name or str(document))


def _sentence(rows: list[Row], document: str) -> Sentence:
    starts: list[int] = []
    length = 0
    for row in rows:
        starts.append(length)
        length += len(row.token) + 1
    ends = [start + len(row.token) for start, row in zip(starts, rows, strict=True)]
    levels = max(len(row.tags) for row in rows)
    spans: list[CharSpan] = []
    for level in range(levels):
        # An empty column at the end of a line may be missing.
        tags = [row.tags[level] if level < len(row.tags) else OUTSIDE for row in rows]
        spans.extend(
            CharSpan(starts[first], ends[last], label)
            for first, last, label in spans_of_tags(tags)
        )
    return Sentence(" ".join(row.token for row in rows), spans, document)


def spans_of_tags(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Convert the tags of a sentence to spans. One rule covers every scheme: an inside
    tag continues a span with the same label, and any other tag with a label starts a
    span.

    tags (Sequence[str]): One tag for each token.
    RETURNS (list[tuple[int, int, str]]): The first token, the last token and the label
        of each span.
    """
    found: list[tuple[int, int, str]] = []
    open_label = ""
    for index, tag in enumerate(tags):
        prefix, _, label = tag.partition("-")
        if tag == OUTSIDE:
            open_label = ""
            continue
        if prefix in INSIDE and label == open_label:
            first, _, _ = found.pop()
            found.append((first, index, label))
        else:
            found.append((index, index, label))
        open_label = "" if prefix in _END else label
    return found


def write_conll(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a token and its tag (IOB2) on each line. Of overlapping spans the longest
    is kept, so that of nested spans the outermost is kept.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): The group of the spans.
    counts (ConversionCounts): Counts the spans that are left out.
    RAISES (ValueError): The format can't represent a label or a token.
    """
    _write(docs, path, options, counts, FLAT)


def write_conll_nested(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a token and one tag (IOB2) for each level on each line. The file has as
    many levels as the corpus needs. Each span takes the first free level at its
    position, the outermost span first.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): The group of the spans.
    counts (ConversionCounts): Counts the spans that are left out.
    RAISES (ValueError): The format can't represent a label or a token.
    """
    _write(docs, path, options, counts, NESTED)


def _write(
    docs: Iterable[Doc],
    path: Path,
    options: WriteOptions,
    counts: ConversionCounts,
    corpus_format: str,
) -> None:
    with replaced_file(path) as fresh, temporary_text_file(fresh.parent) as spool:
        # The number of levels is known only after the last document.
        levels = _spool(docs, spool, options, counts, corpus_format)
        spool.seek(0)
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            for line in spool:
                columns = line.rstrip("\n").split("\t")
                if line != "\n":
                    columns += [OUTSIDE] * (levels + 1 - len(columns))
                file.write("\t".join(columns) + "\n")


def _spool(
    docs: Iterable[Doc],
    spool: IO[str],
    options: WriteOptions,
    counts: ConversionCounts,
    corpus_format: str,
) -> int:
    """Write the levels that each document needs to a temporary file, and return the
    largest number of levels."""
    most = 1
    before: str | None = None
    for number, doc in enumerate(docs, 1):
        spans = _representable(doc, options.spans_key, counts, corpus_format)
        if all(token.is_space for token in doc):
            counts.change(NO_WORDS, f"document {doc_id_of(doc)}")
            continue
        if corpus_format == FLAT:
            spans = _outermost(doc, spans, counts)
        levels = _levels(len(doc), spans)
        most = max(most, len(levels))
        # Consecutive Docs with the same ID are sentences of one document.
        doc_id = doc_id_of(doc) or str(number)
        if doc_id != before:
            spool.write(f"{DOCSTART}\n\n")
            before = doc_id
        for sentence in _sentence_ranges(doc, spans, counts):
            for row in _rows(doc, sentence, levels):
                spool.write("\t".join(row) + "\n")
            spool.write("\n")
    return most


def _representable(
    doc: Doc, key: str, counts: ConversionCounts, corpus_format: str
) -> list[Span]:
    """Return the aligned spans that begin and end with a word."""
    for lost in unaligned_spans(doc):
        counts.leave_out(NO_BOUNDARY, describe_span(doc, lost))
    spans = []
    for span in aligned_spans(doc, key):
        label = span.label_
        if len(label.split()) != 1 or label != label.strip():
            raise ValueError(Errors.G551.format(label=label, form=corpus_format))
        if doc[span.start].is_space or doc[span.end - 1].is_space:
            counts.leave_out(BLANK_EDGE, _describe(doc, span))
        else:
            spans.append(span)
    return sorted(spans, key=lambda span: (span.start, -span.end, span.label_))


def _outermost(doc: Doc, spans: Sequence[Span], counts: ConversionCounts) -> list[Span]:
    kept: list[Span] = []
    taken: set[int] = set()
    for span in sorted(spans, key=lambda s: (s.start - s.end, s.start, s.label_)):
        tokens = range(span.start, span.end)
        if taken.isdisjoint(tokens):
            taken.update(tokens)
            kept.append(span)
        else:
            counts.leave_out(OVERLAPS, _describe(doc, span))
    return kept


def _levels(size: int, spans: Sequence[Span]) -> list[Tags]:
    """Return the tags of each level. A span takes the first level that is free."""
    levels: list[Tags] = []
    for span in spans:
        tokens = slice(span.start, span.end)
        for tags in levels:
            if all(tag == OUTSIDE for tag in tags[tokens]):
                break
        else:
            tags = [OUTSIDE] * size
            levels.append(tags)
        inside = [f"I-{span.label_}"] * (len(span) - 1)
        tags[tokens] = [f"B-{span.label_}", *inside]
    return levels


def _sentence_ranges(
    doc: Doc, spans: Sequence[Span], counts: ConversionCounts
) -> Iterator[range]:
    """Yield the tokens of each sentence. A sentence does not end inside a span, because
    an empty line would end the span, too."""
    inside = {index for span in spans for index in range(span.start + 1, span.end)}
    known = doc.has_annotation("SENT_START")
    first = 0
    for token in doc:
        if not (known and token.is_sent_start and token.i > first):
            continue
        if token.i in inside:
            counts.change(ACROSS, f"at {token.text!r}, document {doc_id_of(doc)}")
            continue
        yield range(first, token.i)
        first = token.i
    yield range(first, len(doc))


def _rows(doc: Doc, sentence: range, levels: Sequence[Tags]) -> Iterator[list[str]]:
    for index in sentence:
        if doc[index].is_space:
            continue
        # Tokens of some languages contain spaces.
        word = "".join(doc[index].text.split())
        if word == DOCSTART:
            raise ValueError(Errors.G552.format(doc_id=doc_id_of(doc)))
        yield [word, *(tags[index] for tags in levels)]


def _describe(doc: Doc, span: Span) -> str:
    return describe_span(doc, CharSpan(span.start_char, span.end_char, span.label_))
