"""The columns of CoNLL files.

Files differ in their columns, and rarely say so. A survey of the lines finds the
separator, the columns of the token and of the tags, and a header. With this layout, a
reader checks every line, so that no line with other columns is read silently.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import Errors
from ...io import numbered_lines
from ..documents import ConvertOptions
from .files import refuse_other_file

FLAT, NESTED = "conll", "conll-nested"
DOCSTART = "-DOCSTART-"
OUTSIDE = "O"
BEGIN = ("B",)
INSIDE = ("I", "M", "L", "E")
SINGLE = ("S", "U", "W")

# The tags of one level, one for each token.
Tags = list[str]

_PREFIXES = (*BEGIN, *INSIDE, *SINGLE)
# Tags in other notations: b-loc, B_LOC, LOC-B, and B.
_OTHER_TAG = re.compile(
    r"(?P<prefix>[A-Za-z])[-_:/.](?P<label>\S+)"
    r"|(?P<last>\S+)[-_:/.](?P<suffix>[BISUMLEW])|(?P<alone>[BISUMLEW])"
)
_OTHER_SIGNS = (",", ";", "|")
# The number of lines that are examined together.
_CHUNK = 500
_MAX_SHOWN = 80

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


class Row(NamedTuple):
    """A line with a token.

    token (str): The token.
    tags (Tags): Its tags, one for each level.
    """

    token: str
    tags: Tags


class Layout(NamedTuple):
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
    others (tuple[int, ...]): Columns of tags that are not read, if every column after
        the token has tags.
    """

    tabs: bool
    width: int
    first: int
    token: int = 0
    tags: tuple[int, ...] | None = None
    key: str | None = None
    indexed: bool = False
    header: tuple[str, ...] = ()
    others: tuple[int, ...] = ()


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Number the lines of a file. A carriage return without a line feed ends a line,
    too.

    path (Path): The file.
    YIELDS (tuple[int, str]): The number of the line, from 1, and the line.
    RAISES (ValueError): The file is not UTF-8.
    """
    shift = 0
    for number, line in numbered_lines(path):
        if "\r" not in line:
            yield number + shift, line
            continue
        for part in line.split("\r"):
            yield number + shift, part
            shift += 1
        shift -= 1


def is_docstart(line: str) -> bool:
    """RETURNS (bool): Whether a line starts a document."""
    return DOCSTART in line and line.split(maxsplit=1)[0] == DOCSTART


def _split(line: str, tabs: bool) -> list[str]:
    """Split a line into columns. Other white space, such as a no-break space, is a part
    of the word."""
    if tabs:
        columns = line.split("\t")
        return [column.strip(" ") for column in columns] if " " in line else columns
    columns = line.strip(" \t").split(" ")
    return [column for column in columns if column] if "" in columns else columns


def _without_empty_end(columns: list[str]) -> list[str]:
    size = len(columns)
    while size and not columns[size - 1].strip():
        size -= 1
    return columns if size == len(columns) else columns[:size]


def _is_tag(tag: str) -> bool:
    prefix, dash, label = tag.partition("-")
    return tag == OUTSIDE or (prefix in _PREFIXES and bool(dash) and bool(label))


def _attributes(cell: str) -> dict[str, str]:
    """Read a column of attributes, such as `NER=B-GPE|SpaceAfter=No`."""
    pairs = (item.partition("=") for item in cell.split("|") if "=" in item)
    return {key: value for key, _, value in pairs}


def _hint(line: str) -> str:
    """Return a sentence about the notation of a malformed line, or nothing."""
    words = line.split()
    for sign in _OTHER_SIGNS if "\t" not in line else ():
        last = line.rpartition(sign)[2].strip()
        if sign in line.strip(sign) and (
            _is_tag(last) or _TAG_NAME.fullmatch(last.casefold())
        ):
            return f". Separate the columns by tabs or spaces, not by {sign!r}"
    match = _OTHER_TAG.fullmatch(words[-1]) if words else None
    if match is None:
        return ""
    if match["alone"]:
        return f". The tag {words[-1]!r} has no label: write '{words[-1]}-LABEL'"
    prefix = (match["prefix"] or match["suffix"]).upper()
    if prefix not in _PREFIXES:
        return ""
    tag = f"{prefix}-{match['label'] or match['last']}"
    return "" if _is_tag(words[-1]) else f". Write the tag {words[-1]!r} as {tag!r}"


class RowReader:
    """Reads the rows of a file with a layout.

    path (Path): The file.
    layout (Layout): The layout.
    last_only (bool): Whether the default is the last column.
    """

    def __init__(self, path: Path, layout: Layout, last_only: bool):
        self.path = path
        self.layout = layout
        self.last_only = last_only
        # A tab at the end of a line does not start another column.
        self.cut = last_only and layout.tags is None
        # The columns of the tags, unless they depend on the line, and the tags so far.
        first = layout.width - 1 if self.cut else layout.token + 1
        self._default = slice(max(first, layout.token + 1), layout.width)
        self._known: set[str] = set()
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

    def read(self, number: int, line: str) -> Row | None:
        """Read a row.

        number (int): The number of the line.
        line (str): The line.
        RETURNS (Row | None): The token and its tags, or None for a header and for a
            line of CoNLL-U that is not a word.
        RAISES (ValueError): The columns are not those of the layout.
        """
        layout = self.layout
        tabs, width = layout.tabs, layout.width
        alike = tabs == ("\t" in line)
        columns = line.split("\t" if tabs else " ")
        if alike and len(columns) == width:
            # The usual case, which needs no other check.
            if layout.tags is None:
                tags = columns[self._default]
            else:
                tags = [columns[column] for column in layout.tags]
            token = columns[layout.token]
            if tags and self._known.issuperset(tags) and token.strip() == token > "":
                if self._filled < width:
                    filled = len(_without_empty_end(columns))
                    self._filled = max(self._filled, filled)
                if not (layout.indexed and _NO_WORD.fullmatch(columns[0])):
                    return Row(token, tags)
        columns = self._columns(line, tabs)
        default = layout.tags is None
        if layout.header and tuple(columns) == layout.header:
            return None
        # A line without a tag is described as such, whatever separates its columns.
        own = columns if alike else self._columns(line, not layout.tabs)
        if default and not self._is_row(own):
            raise self._malformed(number, line)
        self._check_width(number, line, columns)
        if layout.indexed and _NO_WORD.fullmatch(columns[0]):
            return None
        if not (default and alike) and not self._is_row(columns):
            raise self._malformed(number, line)
        tags = self._tags(columns)
        if layout.key is None:
            self._known.update(tags)
        return Row(columns[layout.token], tags)

    def _malformed(self, number: int, line: str) -> ValueError:
        if number == self.layout.first:
            refuse_other_file(self.path, FLAT if self.last_only else NESTED)
        found = f"{line[:_MAX_SHOWN]!r}{_hint(line)}"
        return ValueError(Errors.G514.format(path=self.path, line=number, found=found))

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
                path=self.path, line=number, reason=reason, found=line[:_MAX_SHOWN]
            )
        )


# Detection of the layout


def detect_layout(
    path: Path, options: ConvertOptions, last_only: bool
) -> Layout | None:
    """Find the layout of a file by a survey of its lines, until it is certain.

    path (Path): The file.
    options (ConvertOptions): The columns to read.
    last_only (bool): Whether the default is the last column.
    RETURNS (Layout | None): The layout, or None if the file has no rows.
    RAISES (ValueError): The columns of the tags are not certain.
    """
    survey = _Survey(path, options, last_only)
    # A row may start with the token "#", but comments are more frequent.
    for with_hashes in (False, True):
        for number, line in lines_of(path):
            names = "#" in line and _COLUMN_NAMES.fullmatch(line.strip())
            if names:
                survey.names = tuple(names[1].split())
            elif not line or line.isspace() or is_docstart(line):
                survey.waiting.append("")
            elif with_hashes or line[0] != "#":
                if not survey.width:
                    survey.start(number, line)
                survey.waiting.append(line)
                if len(survey.waiting) >= _CHUNK:
                    survey.examine()
                    if survey.is_certain():
                        break
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
        # Those that are empty everywhere.
        self.fillers: frozenset[int] = frozenset()
        # The attributes in the last column, and whether each is a tag everywhere.
        self.keys: dict[str, bool] = {}
        self.indexed = True
        self.longest = 0
        self.comments = False
        self._index = 0
        self._last = -1
        # Lines that are not examined yet. An empty one ends a sentence.
        self.waiting: list[str] = []

    def start(self, number: int, line: str) -> None:
        """Take the separator and the number of columns from the first row.

        number (int): The number of the line.
        line (str): The line.
        """
        self.tabs = "\t" in (line.rstrip() if self.cut else line)
        columns = self._columns(line)
        self.width, self.first = len(columns), number
        if self._is_header(columns):
            self.names = self.header = tuple(columns)

    def _columns(self, line: str) -> list[str]:
        columns = _split(line, self.tabs)
        return _without_empty_end(columns) if self.cut else columns

    def examine(self) -> None:
        """Examine the waiting lines, column by column."""
        lines, width = self.waiting, self.width
        self.waiting = []
        sign = "\t" if self.tabs else " "
        if self.tabs and any(" " in line for line in lines):
            rows = [_split(line, True) for line in lines]
        else:
            rows = [line.split(sign) for line in lines]
        # Lines with empty columns, or of another width, are split with care.
        rows = [
            row
            if len(row) == width and row[-1] and (self.tabs or "" not in row)
            else self._columns(line)
            for row, line in zip(rows, lines, strict=True)
        ]
        if self.indexed:
            self._count_tokens(lines, rows)
        fitting = [
            row
            for row, line in zip(rows, lines, strict=True)
            if len(row) == width and line
        ]
        if self.header:
            fitting = [row for row in fitting if tuple(row) != self.header]
        if not fitting:
            return
        if self.every is None:
            self.every = self.fillers = frozenset(range(self.width))
        lost: set[int] = set()
        filled: set[int] = set()
        for column, contents in enumerate(zip(*fitting, strict=True)):
            cells = set(contents)
            if column in self.every and not all(
                _is_tag(cell) for cell in map(str.strip, cells) if cell
            ):
                lost.add(column)
            if column in self.fillers and not all(
                cell.strip() in _FILLERS for cell in cells
            ):
                filled.add(column)
            if column not in self.some:
                # Most cells are words, which differ from tags in the second character.
                if any(_is_tag(cell) for cell in cells if cell[1:2] in ("-", "")):
                    self.some.add(column)
            if column == self.width - 1:
                for cell in sorted(cell for cell in cells if "=" in cell):
                    for key, value in _attributes(cell.strip()).items():
                        self.keys[key] = self.keys.get(key, True) and _is_tag(value)
        self.every -= lost
        self.fillers -= filled

    def is_certain(self) -> bool:
        """RETURNS (bool): Whether further lines can't change the layout: the columns
        that are read by default have tags, and the first one counts nothing."""
        default = not self.wanted and _HIPE_FLAT not in self.names
        return (
            default
            and not self.indexed
            and self._after(self._token(False)) <= self.some
        )

    def _token(self, indexed: bool) -> int:
        """Return the column of the token."""
        named = [i for i, n in enumerate(self.names) if n.casefold() in _TOKEN_NAMES]
        if self.wanted_token is not None:
            return self._column(self.wanted_token)
        return named[0] if named else int(indexed)

    def _after(self, token: int) -> set[int]:
        """Return the columns of the tags by default."""
        last = self.width - 1
        return {last} if self.last_only else set(range(token + 1, self.width))

    def _count_tokens(self, lines: list[str], rows: list[list[str]]) -> None:
        for line, row in zip(lines, rows, strict=True):
            if not line:
                self._index = 0
            elif len(row) == self.width and tuple(row) != self.header:
                self._count(row[0].strip())
                if not self.indexed:
                    return

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

    def layout(self) -> Layout:
        """RETURNS (Layout): The layout."""
        self.examine()
        every = self.every or frozenset()
        # A file of single numbers may contain the sentence "1". Comments are a sign of
        # CoNLL-U and its relatives.
        counts = self.longest > 1 or (self.comments and self.longest)
        indexed = bool(self.indexed and counts and self.width > 2 and 1 not in every)
        token = self._token(indexed)
        layout = Layout(
            tabs=self.tabs,
            width=self.width,
            first=self.first,
            token=token,
            indexed=indexed and token != 0,
            header=self.header,
        )
        tags, key = self._tags(token, indexed or bool(self.names))
        others: tuple[int, ...] = ()
        if self.last_only and tags is None and token + 1 < self.width - 1:
            after = range(token + 1, self.width)
            if every.intersection(self.some).issuperset(after):
                others = tuple(after[:-1])
        return layout._replace(tags=tags, key=key, others=others)

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
        after = self._after(token)
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
