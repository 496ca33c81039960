"""CoNLL columns: a token and its tags on each line.

The flat format has one column of tags, the nested format one column for each nesting
level. The reader accepts every common tagging scheme; the writer uses IOB2. A first
pass through a file detects its columns, so that the second can check every line.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

from spacy.tokens import Doc, Span

from ...errors import Errors
from ...formats import CharSpan
from ...io import numbered_lines, replaced_file, temporary_text_file
from ..docbin import aligned_spans, unaligned_spans
from ..documents import (
    BLANK_EDGE,
    NO_BOUNDARY,
    NO_WORDS,
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Sentence,
    WriteOptions,
    describe_span,
    doc_id_of,
    group_sentences,
)
from ..tokenizer import detokenize
from .files import refuse_other_file

FLAT, NESTED = "conll", "conll-nested"
DOCSTART = "-DOCSTART-"
OUTSIDE = "O"
OVERLAPS = "overlaps a longer one"
ACROSS = "sentence ends inside of a span, not written"
_BEGIN = ("B", "S", "U")
_INSIDE = ("I", "M", "L", "E")
_END = ("S", "U", "L", "E")

# The tags of one level, one for each token.
Tags = list[str]

_TOKEN_NAMES = {"token", "tokens", "word", "words", "form", "text"}
_TAG_NAME = re.compile(
    r"(ne|ner|named|bio|iob2?|bilou|bioes|tags?|labels?|entity|entities)(\W.*)?"
)
# HIPE's columns, the coarse types of literal mentions and the levels of fine types.
_HIPE_FLAT = "NE-COARSE-LIT"
_HIPE_LEVELS = (("NE-FINE-LIT", _HIPE_FLAT), ("NE-NESTED",))
# Marks of a column without content.
_FILLERS = ("", "_", "-", "*")
_INDEX = re.compile(r"\d{1,9}")
# In CoNLL-U, words of several syntactic words (3-4), and empty nodes (8.1).
_NO_WORD = re.compile(r"\d+[-.]\d+")
_NEARLY_TAG = re.compile(r"[A-Za-z]{1,2}[-_]\S*")
_KEY_COMMENT = re.compile(r"#\s*[\w.:-]+\s*=")
_COLUMN_NAMES = re.compile(r"#\s*global\.columns\s*=\s*(.+)")
_NEW_DOCUMENT = re.compile(
    r"#\s*(?:newdoc(?:\s+id)?(?:\s*=\s*(?P<new>.*))?"
    r"|(?:hipe\d*:)?document_id\s*=\s*(?P<hipe>.*)"
    r"|id\s+(?P<id>\S+).*)"
)


class _Row(NamedTuple):
    token: str
    tags: Tags


class _Layout(NamedTuple):
    """The columns of a file.

    tabs (bool): Whether tabs separate the columns, or runs of spaces.
    width (int): The number of columns.
    first (int): The line that determines the separator and the number.
    token (int): The column of the token.
    tags (tuple[int, ...] | None): The columns of the tags. None is the last column that
        is not empty (flat), or every column after the token (nested).
    key (str | None): The attribute that contains the tag, in a column of attributes
        (`NER=B-GPE|SpaceAfter=No`).
    indexed (bool): Whether the first column counts the tokens of a sentence.
    header (tuple[str, ...]): The cells of the header row, which may be repeated.
    """

    tabs: bool
    width: int
    first: int
    token: int = 0
    tags: tuple[int, ...] | None = None
    key: str | None = None
    indexed: bool = False
    header: tuple[str, ...] = ()


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
    sentences = _sentences(path, options, last_only)
    texts = group_sentences(sentences, bool(options.join_sentences))
    return detokenize(texts) if options.detokenize else texts


def _sentences(
    path: Path, options: ConvertOptions, last_only: bool
) -> Iterator[Sentence]:
    layout = _detect_layout(path, options, last_only)
    if layout is None:
        return
    reader = _RowReader(path, layout, last_only)
    document, name = 1, ""
    rows: list[_Row] = []
    any_sentence = False
    for number, line in _lines(path):
        blank, docstart = not line.strip(), _is_docstart(line)
        comment = not blank and not docstart and reader.is_comment(line)
        starts = _NEW_DOCUMENT.fullmatch(line.strip()) if comment else None
        if (blank or docstart or starts) and rows:
            yield _sentence(rows, name or str(document))
            rows, any_sentence = [], True
        if (docstart or starts) and any_sentence:
            document += 1
        if docstart or starts:
            found = (starts and (starts["new"] or starts["hipe"] or starts["id"])) or ""
            name = found.strip()
        if blank or docstart or comment:
            continue
        row = reader.read(number, line)
        if row is not None:
            rows.append(row)
    if rows:
        yield _sentence(rows, name or str(document))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number the lines. A carriage return without a line feed ends a line, too."""
    number = 0
    for _, whole in numbered_lines(path):
        for line in whole.split("\r"):
            number += 1
            yield number, line


def _is_docstart(line: str) -> bool:
    return DOCSTART in line and line.split(maxsplit=1)[0] == DOCSTART


def _split(line: str, tabs: bool) -> list[str]:
    """Split a line into columns. Other white space, such as a no-break space, is a part
    of the word."""
    if tabs:
        return [column.strip(" ") for column in line.split("\t")]
    return [column for column in line.strip(" \t").split(" ") if column]


def _without_empty_end(columns: list[str]) -> list[str]:
    size = len(columns)
    while size and not columns[size - 1].strip():
        size -= 1
    return columns[:size]


@lru_cache(maxsize=4096)
def _is_tag(tag: str) -> bool:
    prefix, dash, label = tag.partition("-")
    return tag == OUTSIDE or (
        prefix in (*_BEGIN, *_INSIDE) and bool(dash) and bool(label)
    )


def _attributes(cell: str) -> dict[str, str]:
    """Read a column of attributes, such as `NER=B-GPE|SpaceAfter=No`."""
    pairs = (item.partition("=") for item in cell.split("|") if "=" in item)
    return {key: value for key, _, value in pairs}


class _RowReader:
    """Reads the rows of a file with a layout.

    path (Path): The file.
    layout (_Layout): The layout.
    last_only (bool): Whether the default is the last column.
    """

    def __init__(self, path: Path, layout: _Layout, last_only: bool):
        self.path = path
        self.layout = layout
        self.last_only = last_only
        # A tab at the end of a line does not start another column.
        self.cut = last_only and layout.tags is None
        # Columns that are filled in some line so far.
        self._filled = layout.width if self.cut else 0

    def _columns(self, line: str, tabs: bool) -> list[str]:
        columns = _split(line, tabs)
        return _without_empty_end(columns) if self.cut else columns

    def _tags(self, columns: list[str]) -> Tags:
        layout = self.layout
        chosen: Iterable[int] | None = layout.tags
        if chosen is None:
            first = len(columns) - 1 if self.last_only else layout.token + 1
            chosen = range(max(first, layout.token + 1), len(columns))
        cells = [columns[i].strip() if i < len(columns) else "" for i in chosen]
        if layout.key is not None:
            return [_attributes(cell).get(layout.key, OUTSIDE) for cell in cells]
        # A level without a tag may leave its column empty.
        return [cell or OUTSIDE for cell in cells]

    def _is_row(self, columns: list[str]) -> bool:
        tags = self._tags(columns)
        token = self.layout.token
        return (
            token < len(columns)
            and bool(columns[token])
            and bool(tags)
            and all(map(_is_tag, tags))
        )

    def is_comment(self, line: str) -> bool:
        """RETURNS (bool): Whether a line starts with `#` and is not a token `#`. A line
        that may be a row with a fault is not a comment."""
        if not line.startswith("#"):
            return False
        layout = self.layout
        columns = self._columns(line, layout.tabs)
        if len(columns) == layout.width and self._is_row(columns):
            return False
        if layout.tabs and "\t" not in line:
            spaced = self._columns(line, False)
            return not (len(spaced) == layout.width and self._is_row(spaced))
        last = columns[-1].strip()
        if _is_tag(last):
            return False
        malformed = len(columns) == layout.width and _NEARLY_TAG.fullmatch(last)
        return not malformed or bool(_KEY_COMMENT.match(line))

    def read(self, number: int, line: str) -> _Row | None:
        """Read a row.

        number (int): The number of the line.
        line (str): The line.
        RETURNS (_Row | None): The token and its tags, or None for a header and for a
            line of CoNLL-U that is not a word.
        RAISES (ValueError): The columns are not those of the layout.
        """
        layout = self.layout
        columns = self._columns(line, layout.tabs)
        if layout.header and tuple(columns) == layout.header:
            return None
        default = layout.tags is None
        alike = layout.tabs == ("\t" in line)
        if self.cut and alike and len(columns) == layout.width > layout.token + 1:
            # The usual case, which needs no other check.
            token, tag = columns[layout.token], columns[-1].strip()
            word = not (layout.indexed and _NO_WORD.fullmatch(columns[0]))
            if word and token and _is_tag(tag):
                return _Row(token, [tag])
        # A line without a tag is described as such, whatever separates its columns.
        own = columns if alike else self._columns(line, not layout.tabs)
        if default and not self._is_row(own):
            raise self._malformed(number, line)
        self._check_width(number, line, columns)
        if layout.indexed and _NO_WORD.fullmatch(columns[0]):
            return None
        if not (default and alike) and not self._is_row(columns):
            raise self._malformed(number, line)
        return _Row(columns[layout.token], self._tags(columns))

    def _malformed(self, number: int, line: str) -> ValueError:
        if number == self.layout.first:
            refuse_other_file(self.path, FLAT if self.last_only else NESTED)
        return ValueError(Errors.G514.format(path=self.path, line=number, found=line))

    def _check_width(self, number: int, line: str, columns: list[str]) -> None:
        layout = self.layout
        if not layout.tabs and "\t" in line.strip():
            reason = (
                f"it has a tab, but spaces separate the columns of line {layout.first}"
            )
        else:
            size, filled = len(columns), len(_without_empty_end(columns))
            self._filled = max(self._filled, min(filled, layout.width))
            # Only columns without content may be missing.
            if size == layout.width or self._filled <= size < layout.width:
                return
            if size > layout.width >= filled:
                return
            sign = "tabs" if layout.tabs else "spaces"
            reason = (
                f"separated by {sign}, its columns number {size}, but those of line "
                f"{layout.first} number {layout.width}"
            )
        raise ValueError(
            Errors.G564.format(
                path=self.path, line=number, reason=reason, found=line[:80]
            )
        )


# Detection of the layout


def _detect_layout(
    path: Path, options: ConvertOptions, last_only: bool
) -> _Layout | None:
    """Return the layout of a file, or None if it has no rows."""
    survey = _Survey(path, options, last_only)
    # A row may start with the token "#", but comments are more frequent.
    for rows in (lambda line: not line.startswith("#"), lambda line: True):
        for number, line in _lines(path):
            names = _COLUMN_NAMES.fullmatch(line.strip())
            if names:
                survey.names = tuple(names[1].split())
            elif not line.strip() or _is_docstart(line):
                survey.end_sentence()
            elif rows(line):
                survey.add(number, line)
            else:
                survey.comments = True
        if survey.width:
            return survey.layout()
    return None


class _Survey:
    """What the columns of a file contain.

    path (Path): The file.
    options (ConvertOptions): The columns to read.
    last_only (bool): Whether the default is the last column.
    """

    def __init__(self, path: Path, options: ConvertOptions, last_only: bool):
        self.path = path
        self.last_only = last_only
        self.wanted = options.tag_columns
        self.wanted_token = options.token_column
        self.cut = last_only and not self.wanted
        self.tabs = False
        self.width = self.first = 0
        self.names: tuple[str, ...] = ()
        self.header: tuple[str, ...] = ()
        # Columns with a tag in some row, and in each row.
        self.some: set[int] = set()
        self.every: frozenset[int] | None = None
        # Columns in which no tag was found yet, and those that are empty everywhere.
        self._no_tag: list[int] = []
        self.fillers: frozenset[int] = frozenset()
        # The attributes in the last column, and whether each is a tag everywhere.
        self.keys: dict[str, bool] = {}
        self.indexed = True
        self.longest = 0
        self.comments = False
        self._index = 0
        self._last = -1

    def add(self, number: int, line: str) -> None:
        """Examine a row."""
        if not self.width:
            self.tabs = "\t" in (line.strip() if self.cut else line)
        columns = _split(line, self.tabs)
        if self.cut:
            columns = _without_empty_end(columns)
        if not self.width:
            self.width, self.first = len(columns), number
            self._no_tag = list(range(self.width))
            if self._is_header(columns):
                self.names = self.header = tuple(columns)
                return
        if len(columns) != self.width or tuple(columns) == self.header:
            return
        cells = [column.strip() for column in columns]
        if self.every is None:
            self.every = self.fillers = frozenset(range(self.width))
        if any(cells[i] and not _is_tag(cells[i]) for i in self.every):
            self.every = frozenset(
                i for i in self.every if not cells[i] or _is_tag(cells[i])
            )
        if any(cells[i] not in _FILLERS for i in self.fillers):
            self.fillers = frozenset(i for i in self.fillers if cells[i] in _FILLERS)
        if any(_is_tag(cells[i]) for i in self._no_tag):
            self.some |= {i for i in self._no_tag if _is_tag(cells[i])}
            self._no_tag = [i for i in self._no_tag if i not in self.some]
        if "=" in cells[-1]:
            for key, value in _attributes(cells[-1]).items():
                self.keys[key] = self.keys.get(key, True) and _is_tag(value)
        if self.indexed:
            self._count(cells[0])

    def _is_header(self, columns: list[str]) -> bool:
        names = {self.wanted_token, *self.wanted} - {None}
        named = {n.casefold() for n in names if n and not n.isdecimal()}
        if named and named <= {column.casefold() for column in columns}:
            return True
        cells = [column.strip().casefold().replace("_", "-") for column in columns]
        return (
            any(cell in _TOKEN_NAMES for cell in cells)
            and any(_TAG_NAME.fullmatch(cell) for cell in cells)
            and not any(map(_is_tag, columns))
        )

    def _count(self, cell: str) -> None:
        if _NO_WORD.fullmatch(cell):
            return
        if not _INDEX.fullmatch(cell):
            self.indexed = False
            return
        begins = not self._index and int(cell) in (0, 1)
        if not begins and int(cell) != self._last + 1:
            self.indexed = False
        self._last = int(cell)
        self._index += 1
        self.longest = max(self.longest, self._index)

    def end_sentence(self) -> None:
        """Start counting tokens again."""
        self._index = 0

    def layout(self) -> _Layout:
        """RETURNS (_Layout): The layout."""
        every = self.every or frozenset()
        # A file of single numbers may contain the sentence "1". Comments are a sign of
        # CoNLL-U and its relatives.
        counts = self.longest > 1 or (self.comments and self.longest)
        indexed = bool(self.indexed and counts and self.width > 2 and 1 not in every)
        named = [i for i, n in enumerate(self.names) if n.casefold() in _TOKEN_NAMES]
        token = named[0] if named else int(indexed)
        if self.wanted_token is not None:
            token = self._column(self.wanted_token)
        layout = _Layout(
            tabs=self.tabs,
            width=self.width,
            first=self.first,
            token=token,
            indexed=indexed and token != 0,
            header=self.header,
        )
        tags, key = self._tags(token, indexed or bool(self.names))
        return layout._replace(tags=tags, key=key)

    def _tags(
        self, token: int, certain: bool
    ) -> tuple[tuple[int, ...] | None, str | None]:
        """Return the columns of the tags, and the attribute that contains the tag."""
        last = self.width - 1
        keys = [key for key, is_tag in self.keys.items() if is_tag]
        key = keys[0] if len(keys) == 1 and last not in self.some else None
        if len(self.wanted) == 1 and self.wanted[0] in keys:
            return (last,), self.wanted[0]
        if self.wanted:
            if self.last_only and len(self.wanted) > 1:
                raise self._unclear("'conll' reads one column of tags")
            columns = tuple(map(self._column, self.wanted))
            return columns, key if columns == (last,) else None
        every = sorted((self.every or frozenset()) - {token} - self.fillers)
        if _HIPE_FLAT in self.names:
            return self._hipe_columns(every), None
        after = {last} if self.last_only else set(range(token + 1, self.width))
        if after <= self.some or not after:
            return None, None
        if len(keys) > 1 and last not in self.some:
            raise self._unclear(f"column {last + 1} has tags under {', '.join(keys)}")
        if key is not None:
            return (last,), key
        found = [i for i in every if i > token and i in self.some]
        if not self.last_only and found and after <= self.some | self.fillers:
            return tuple(found), None
        if certain and (len(found) == 1 or (found and not self.last_only)):
            return tuple(found), None
        if found and (certain or self.last_only):
            raise self._unclear(
                f"column {last + 1} contains no tags, but these columns do: "
                + ", ".join(map(self._name, found))
            )
        return None, None

    def _hipe_columns(self, every: list[int]) -> tuple[int, ...]:
        if self.last_only:
            return (self.names.index(_HIPE_FLAT),)
        places = {name: i for i, name in enumerate(self.names) if i in every}
        levels = [
            next((places[name] for name in names if name in places), None)
            for names in _HIPE_LEVELS
        ]
        found = tuple(level for level in levels if level is not None)
        return found or (self.names.index(_HIPE_FLAT),)

    def _name(self, column: int) -> str:
        named = column < len(self.names)
        return f"{column + 1} ({self.names[column]})" if named else str(column + 1)

    def _column(self, wanted: str) -> int:
        """Return a column that is given by its number or its name."""
        for names in (self.names, tuple(name.casefold() for name in self.names)):
            name = wanted if names is self.names else wanted.casefold()
            if name in names:
                return names.index(name)
        if wanted.isascii() and wanted.isdecimal() and 0 < int(wanted) <= self.width:
            return int(wanted) - 1
        known = ", ".join(self.names) or "none (there is no header row)"
        raise self._unclear(
            f"there is no column {wanted!r}. Line {self.first} has {self.width} "
            f"columns, with the names: {known}"
        )

    def _unclear(self, reason: str) -> ValueError:
        return ValueError(Errors.G565.format(path=self.path, reason=reason))


def _sentence(rows: list[_Row], document: str) -> Sentence:
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
        if prefix in _INSIDE and label == open_label:
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
