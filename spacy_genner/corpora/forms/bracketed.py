"""Text with bracketed entities: one sentence a line, empty lines between documents."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from spacy.tokens import Doc

from ...errors import Errors
from ...formats import CharSpan, get_format
from ...io import numbered_lines, replaced_file
from ..docbin import all_spans, sentence_starts
from ..documents import (
    NO_WORDS,
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Sentence,
    WriteOptions,
    describe_span,
    doc_id_of,
    group_sentences,
    representable_spans,
)
from .files import refuse_other_file

LINES = "goes over the end of a line"
SPACES = "texts whose white space is not kept"
_BAR = " | "
# The end of a line of a CoNLL file.
_TAGGED = re.compile(r"\S[ \t]+(?:O|[BISUMLEW]-\S+)$")


def read_bracketed(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read a bracketed corpus.

    path (Path): The file.
    options (ConvertOptions): Whether to join the sentences of a document by line
        breaks (by default yes).
    YIELDS (Annotated): The documents.
    RAISES (ValueError): The markup is malformed.
    """
    join = options.join_sentences is not False
    # The line breaks stay in the text: a line of a chat may end without punctuation.
    yield from group_sentences(_sentences(path), join, glue="\n")


def _sentences(path: Path) -> Iterator[Sentence]:
    document, ended, tagged = 0, True, 0
    for number, line in numbered_lines(path):
        line = line.strip()
        if not line:
            ended = True
            continue
        if ended:
            document, ended = document + 1, False
        try:
            text, spans = parse_bracketed(line)
        except ValueError as error:
            raise ValueError(
                Errors.G511.format(path=path, line=number, reason=error)
            ) from error
        if tagged >= 0:
            tagged = -1 if spans or not _TAGGED.search(line) else tagged + 1
        yield Sentence(text, spans, str(document))
    if tagged > 1:
        # Lines of tokens and tags are texts without markup.
        refuse_other_file(path, "bracketed")


def parse_bracketed(line: str) -> tuple[str, list[CharSpan]]:
    """Parse a line strictly: an error in a corpus should be corrected, not repaired.

    line (str): The text with markup.
    RETURNS (tuple[str, list[CharSpan]]): The text, and the spans in the order of their
        closing brackets.
    RAISES (ValueError): The markup is malformed. The message names the column, from 1.
    """
    text = ""
    spans: list[CharSpan] = []
    # The start of each open span in the text.
    stack: list[int] = []
    # The characters since the last bracket.
    pending = ""
    for column, char in enumerate(line, 1):
        if char == "[":
            text += pending
            pending = ""
            stack.append(len(text))
        elif char == "]":
            if not stack:
                raise ValueError(f"']' closes no span (column {column})")
            inside, bar, label = pending.rpartition(_BAR)
            if not bar or not label.strip() or label != label.strip():
                raise ValueError(
                    f"no ' | LABEL' before ']' (column {column}): {pending!r}"
                )
            text += inside
            pending = ""
            start = stack.pop()
            surface = text[start:]
            if not surface or surface != surface.strip():
                raise ValueError(
                    f"the span {surface!r} is empty or has white space at its edge "
                    f"(column {column})"
                )
            spans.append(CharSpan(start, len(text), label))
        else:
            pending += char
    if stack:
        raise ValueError(f"{len(stack)} '[' without a ']' at the end of the line")
    return text + pending, spans


def write_bracketed(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write each document as lines with markup, and an empty line between documents.

    A line ends at each line break of the text, and at white space before a sentence.
    Empty lines and white space at the ends of lines are dropped and counted.

    docs (Iterable[Doc]): The documents. Consecutive Docs with the same `doc_id` are
        written as one document.
    path (Path): The file.
    options (WriteOptions): The group of the spans.
    counts (ConversionCounts): Counts the spans that are left out, and the changed
        texts.
    RAISES (ValueError): A text contains a bracket, or the format can't represent a
        label.
    """
    before: str | None = None
    with replaced_file(path) as fresh:
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            for number, doc in enumerate(docs, 1):
                lines = _lines(doc, options.spans_key, counts)
                if not lines:
                    counts.change(NO_WORDS, f"document {doc_id_of(doc)}")
                    continue
                doc_id = doc_id_of(doc) or str(number)
                if before not in (None, doc_id):
                    file.write("\n")
                before = doc_id
                file.write("".join(f"{line}\n" for line in lines))


def _lines(doc: Doc, key: str, counts: ConversionCounts) -> list[str]:
    fmt = get_format("inline_bracketed")
    for char in "[]":
        if char in doc.text:
            raise ValueError(Errors.G553.format(doc_id=doc_id_of(doc), found=char))
    spans = representable_spans(doc, fmt, all_spans(doc, key), counts)
    text = _with_line_breaks(doc, spans)
    kept: list[CharSpan] = []
    for span in spans:
        if "\n" in text[span.start : span.end]:
            counts.leave_out(LINES, describe_span(doc, span))
        else:
            kept.append(span)
    lines = _nonblank_lines(fmt.render(text, kept))
    if lines and "\n".join(_nonblank_lines(text)) != doc.text:
        counts.change(SPACES, f"document {doc_id_of(doc)}")
    return lines


def _with_line_breaks(doc: Doc, spans: list[CharSpan]) -> str:
    """Replace the white space character before each sentence by a line break, except
    inside spans."""
    chars = list(doc.text)
    for start in sentence_starts(doc) or ():
        inside = any(span.start < start < span.end for span in spans)
        if start and chars[start - 1].isspace() and not inside:
            chars[start - 1] = "\n"
    return "".join(chars)


def _nonblank_lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.split("\n")) if line]
