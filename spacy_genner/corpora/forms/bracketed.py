"""Text with bracketed entities, one sentence a line."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from spacy.tokens import Doc

from ...errors import Errors
from ...formats import CharSpan, get_format
from ...io import numbered_lines, replaced_file
from ..docbin import all_spans, sentence_starts
from ..documents import (
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Sentence,
    WriteOptions,
    doc_id_of,
    group_sentences,
    markable_spans,
    shown,
)

_BAR = " | "


def read_bracketed(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read a bracketed corpus.

    path (Path): The file.
    options (ConvertOptions): Sentences are joined, by line breaks, unless it says
        otherwise.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): A mark is not well formed.
    """
    join = options.join_sentences is not False
    # Lines stay lines: a chat's or a letter's may end without a full stop.
    yield from group_sentences(_sentences(path), join, glue="\n")


def _sentences(path: Path) -> Iterator[Sentence]:
    document, ended = 0, True
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
        yield Sentence(text, spans, str(document))


def parse_bracketed(line: str) -> tuple[str, list[CharSpan]]:
    """Read one line, strictly: a slip in a corpus is to be corrected, not repaired.

    line (str): The marked text.
    RETURNS (Tuple[str, List[CharSpan]]): The text, and the spans in the order of
        their closing marks.
    RAISES (ValueError): What is wrong, and at which column (from 1).
    """
    text = ""
    spans: list[CharSpan] = []
    # For each open span, where it starts in the text.
    stack: list[int] = []
    # What has been read since the last mark.
    since = ""
    for column, char in enumerate(line, 1):
        if char == "[":
            text += since
            since = ""
            stack.append(len(text))
        elif char == "]":
            if not stack:
                raise ValueError(f"']' closes nothing (column {column})")
            inside, bar, label = since.rpartition(_BAR)
            if not bar or not label.strip() or label != label.strip():
                raise ValueError(
                    f"no ' | LABEL' before ']' (column {column}): {since!r}"
                )
            text += inside
            since = ""
            start = stack.pop()
            marked = text[start:]
            if not marked or marked != marked.strip():
                raise ValueError(
                    f"the span {marked!r} is empty or has white space at its edge "
                    f"(column {column})"
                )
            spans.append(CharSpan(start, len(text), label))
        else:
            since += char
    if stack:
        raise ValueError(f"{len(stack)} '[' without a ']' at the end of the line")
    return text + since, spans


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
