"""Corpora in the inline bracketed format: `the [University of [Oslo | GPE] | ORG]`.

One sentence a line, documents parted by empty lines. Every bracket is a mark: a text
with literal brackets needs another form, such as JSONL.
"""

from collections.abc import Iterator
from pathlib import Path

from ...errors import Errors
from ...formats import CharSpan
from ...storage.lines import numbered_lines
from ..annotated import Annotated, ConvertOptions, Sentence, group_sentences

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
