"""Corpora with one token a line and its tags in columns."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from spacy.tokens import Doc, Span

from ...errors import Errors
from ...formats import CharSpan
from ...storage.files import replaced_file
from ..counts import ConversionCounts
from ..docbin import aligned_spans, unaligned_spans
from ..readers.conll import DOCSTART, OUTSIDE
from .options import BLANK_EDGE, NO_BOUNDARY, WriteOptions, doc_id_of, shown

FLAT, NESTED = "conll", "conll-nested"
OVERLAPS = "overlaps a longer one"
ACROSS = "sentence ends inside of a span, not written"
NO_WORDS = "texts of white space alone, not written"

# Tags of one level, one for each token of a document.
Tags = list[str]


def write_conll(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a token and its tag (IOB2) on each line. Of spans that overlap the
    longest is kept, so of nested ones the outermost.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): Names the group of the spans.
    counts (ConversionCounts): Gets what is left out.
    RAISES (ValueError): A label or a token can't stand in the form.
    """
    _write(docs, path, options, counts, FLAT)


def write_conll_nested(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a token and a tag (IOB2) a level on each line, with as many levels as the
    corpus needs: the outermost span of a place stands on the first that is free.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): Names the group of the spans.
    counts (ConversionCounts): Gets what is left out.
    RAISES (ValueError): A label or a token can't stand in the form.
    """
    _write(docs, path, options, counts, NESTED)


def _write(
    docs: Iterable[Doc],
    path: Path,
    options: WriteOptions,
    counts: ConversionCounts,
    form: str,
) -> None:
    with replaced_file(path) as fresh:
        # How many levels there are is known when the last document has been read.
        with tempfile.TemporaryFile(
            "w+", encoding="utf-8", newline="\n", dir=fresh.parent
        ) as spool:
            levels = _spool(docs, spool, options, counts, form)
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
    form: str,
) -> int:
    """Write what each document needs; the number of levels of the largest."""
    most = 1
    before: str | None = None
    for number, doc in enumerate(docs, 1):
        spans = _sayable(doc, options.spans_key, counts, form)
        if all(token.is_space for token in doc):
            counts.change(NO_WORDS, f"document {doc_id_of(doc)}")
            continue
        if form == FLAT:
            spans = _outermost(doc, spans, counts)
        levels = _levels(len(doc), spans)
        most = max(most, len(levels))
        # Sentences that were read one by one are still those of one document.
        name = doc_id_of(doc) or str(number)
        if name != before:
            spool.write(f"{DOCSTART}\n\n")
            before = name
        for sentence in _sentences(doc, spans, counts):
            for row in _rows(doc, sentence, levels):
                spool.write("\t".join(row) + "\n")
            spool.write("\n")
    return most


def _sayable(doc: Doc, key: str, counts: ConversionCounts, form: str) -> list[Span]:
    """The spans that begin and end with a word."""
    for lost in unaligned_spans(doc):
        counts.leave_out(NO_BOUNDARY, shown(doc, lost))
    spans = []
    for span in aligned_spans(doc, key):
        label = span.label_
        if len(label.split()) != 1 or label != label.strip():
            raise ValueError(Errors.G551.format(label=label, form=form))
        if doc[span.start].is_space or doc[span.end - 1].is_space:
            counts.leave_out(BLANK_EDGE, _shown(doc, span))
        else:
            spans.append(span)
    return sorted(spans, key=lambda span: (span.start, -span.end, span.label_))


def _outermost(doc: Doc, spans: Sequence[Span], counts: ConversionCounts) -> list[Span]:
    kept: list[Span] = []
    taken: set[int] = set()
    for span in sorted(spans, key=lambda s: (s.start - s.end, s.start, s.label_)):
        places = range(span.start, span.end)
        if taken.isdisjoint(places):
            taken.update(places)
            kept.append(span)
        else:
            counts.leave_out(OVERLAPS, _shown(doc, span))
    return kept


def _levels(size: int, spans: Sequence[Span]) -> list[Tags]:
    """Tags of each level: a span takes the first that is free at its place."""
    levels: list[Tags] = []
    for span in spans:
        places = slice(span.start, span.end)
        for tags in levels:
            if all(tag == OUTSIDE for tag in tags[places]):
                break
        else:
            tags = [OUTSIDE] * size
            levels.append(tags)
        inside = [f"I-{span.label_}"] * (len(span) - 1)
        tags[places] = [f"B-{span.label_}", *inside]
    return levels


def _sentences(
    doc: Doc, spans: Sequence[Span], counts: ConversionCounts
) -> Iterator[range]:
    """The tokens of each sentence. An empty line would end a span."""
    inside = {place for span in spans for place in range(span.start + 1, span.end)}
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
    for place in sentence:
        if doc[place].is_space:
            continue
        # Some languages have words with a space in them.
        word = "".join(doc[place].text.split())
        if word == DOCSTART:
            raise ValueError(Errors.G552.format(doc_id=doc_id_of(doc)))
        yield [word, *(tags[place] for tags in levels)]


def _shown(doc: Doc, span: Span) -> str:
    return shown(doc, CharSpan(span.start_char, span.end_char, span.label_))
