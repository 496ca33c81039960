"""Corpora with one token a line and its tags in columns, as in CoNLL's tasks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import Errors
from ...formats import CharSpan
from ...storage.lines import numbered_lines
from ..annotated import Annotated, ConvertOptions, Sentence, group_sentences
from .detokenize import detokenized

DOCSTART = "-DOCSTART-"
OUTSIDE = "O"
_BEGIN = ("B", "S", "U")
_INSIDE = ("I", "M", "L", "E")
_END = ("S", "U", "L", "E")


class _Row(NamedTuple):
    token: str
    tags: list[str]


def read_conll(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read a file whose last column holds tags: IOB1, IOB2, `I-` alone, BILUO, BIOES.

    path (Path): The file. Columns are parted by tabs or spaces, sentences by empty
        lines, documents by `-DOCSTART-`.
    options (ConvertOptions): Sentences of one document are joined only where it says
        so, and tokens are joined by one space unless texts are to be put together.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): A line has no tag, or one that is no tag.
    """
    yield from _documents(path, options, True)


def read_conll_nested(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read a file where every column after the token holds tags of one level.

    path (Path): The file.
    options (ConvertOptions): As for `read_conll`.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): A line has no tag, or one that is no tag.
    """
    yield from _documents(path, options, False)


def _documents(
    path: Path, options: ConvertOptions, last_only: bool
) -> Iterator[Annotated]:
    sentences = _sentences(path, last_only)
    texts = group_sentences(sentences, bool(options.join_sentences))
    return detokenized(texts) if options.detokenize else texts


def _sentences(path: Path, last_only: bool) -> Iterator[Sentence]:
    document = 1
    rows: list[_Row] = []
    any_yet = False
    for number, line in numbered_lines(path):
        if last_only:
            # Else a tab at the end of each line would be a column without tags.
            line = line.rstrip()
        columns = line.split("\t") if "\t" in line else line.split()
        columns = [column.strip() for column in columns]
        blank = not any(columns)
        docstart = not blank and columns[0] == DOCSTART
        if (blank or docstart) and rows:
            yield _sentence(rows, document)
            rows, any_yet = [], True
        if docstart and any_yet:
            document += 1
        if blank or docstart:
            continue
        # A column may be empty at the end of a line, where a level has no tag.
        tags = [tag or OUTSIDE for tag in columns[1:]]
        tags = tags[-1:] if last_only else tags
        if not tags or not all(map(_is_tag, tags)) or not columns[0]:
            raise ValueError(Errors.G514.format(path=path, line=number, found=line))
        rows.append(_Row(columns[0], tags))
    if rows:
        yield _sentence(rows, document)


def _is_tag(tag: str) -> bool:
    prefix, dash, label = tag.partition("-")
    return tag == OUTSIDE or (
        prefix in (*_BEGIN, *_INSIDE) and bool(dash) and bool(label)
    )


def _sentence(rows: list[_Row], document: int) -> Sentence:
    starts: list[int] = []
    length = 0
    for row in rows:
        starts.append(length)
        length += len(row.token) + 1
    ends = [start + len(row.token) for start, row in zip(starts, rows, strict=True)]
    levels = max(len(row.tags) for row in rows)
    spans: list[CharSpan] = []
    for level in range(levels):
        tags = [row.tags[level] if level < len(row.tags) else OUTSIDE for row in rows]
        spans.extend(
            CharSpan(starts[first], ends[last], label)
            for first, last, label in spans_of_tags(tags)
        )
    return Sentence(" ".join(row.token for row in rows), spans, str(document))


def spans_of_tags(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Read one sentence's tags. One rule reads every scheme: a span goes on where an
    inside tag has the label of the one before, and starts anew everywhere else.

    tags (Sequence[str]): One tag a token.
    RETURNS (List[Tuple[int, int, str]]): First and last token, and label, of each span.
    """
    found: list[tuple[int, int, str]] = []
    going_on = ""
    for index, tag in enumerate(tags):
        prefix, _, label = tag.partition("-")
        if tag == OUTSIDE:
            going_on = ""
            continue
        if prefix in _INSIDE and label == going_on:
            first, _, _ = found.pop()
            found.append((first, index, label))
        else:
            found.append((index, index, label))
        going_on = "" if prefix in _END else label
    return found
