"""Corpora in the inline bracketed format, one sentence a line."""

from collections.abc import Iterable
from pathlib import Path

from spacy.tokens import Doc

from ...errors import Errors
from ...formats import CharSpan, get_format
from ...storage.files import replaced_file
from ..counts import ConversionCounts
from ..docbin import all_spans, sentence_starts
from .markable import markable_spans
from .options import WriteOptions, doc_id_of, shown

LINES = "goes over the end of a line"
SPACES = "texts whose white space is not kept"
NO_WORDS = "texts of white space alone, not written"


def write_bracketed(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write each document as lines with marks, documents parted by an empty line.

    A line ends where the text has a line break, and where a sentence starts after
    white space. Empty lines and white space at the ends of lines are not kept, which
    is counted.

    docs (Iterable[Doc]): The documents. Those of one `doc_id` in a row are one
        document: sentences that were read one by one.
    path (Path): The file.
    options (WriteOptions): Names the group of the spans.
    counts (ConversionCounts): Gets what is left out.
    RAISES (ValueError): A text holds a bracket, or a label can't stand in the form.
    """
    before: str | None = None
    with replaced_file(path) as fresh:
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            for number, doc in enumerate(docs, 1):
                lines = _lines(doc, options.spans_key, counts)
                if not lines:
                    counts.change(NO_WORDS, f"document {doc_id_of(doc)}")
                    continue
                name = doc_id_of(doc) or str(number)
                if before not in (None, name):
                    file.write("\n")
                before = name
                file.write("".join(f"{line}\n" for line in lines))


def _lines(doc: Doc, key: str, counts: ConversionCounts) -> list[str]:
    fmt = get_format("inline_bracketed")
    for char in "[]":
        if char in doc.text:
            raise ValueError(Errors.G553.format(doc_id=doc_id_of(doc), found=char))
    spans = markable_spans(doc, fmt, all_spans(doc, key), counts)
    text = _broken(doc, spans)
    kept: list[CharSpan] = []
    for span in spans:
        if "\n" in text[span.start : span.end]:
            counts.leave_out(LINES, shown(doc, span))
        else:
            kept.append(span)
    lines = _stripped(fmt.render(text, kept))
    if lines and "\n".join(_stripped(text)) != doc.text:
        counts.change(SPACES, f"document {doc_id_of(doc)}")
    return lines


def _stripped(text: str) -> list[str]:
    return [line for line in map(str.strip, text.split("\n")) if line]


def _broken(doc: Doc, spans: list[CharSpan]) -> str:
    """The text with a line break in place of the last white space before each
    sentence, and not within a span."""
    chars = list(doc.text)
    for start in sentence_starts(doc) or ():
        inside = any(span.start < start < span.end for span in spans)
        if start and chars[start - 1].isspace() and not inside:
            chars[start - 1] = "\n"
    return "".join(chars)
