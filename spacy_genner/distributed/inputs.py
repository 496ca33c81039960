"""Cut a corpus into parts, and read a part.

A part is a range of consecutive documents of one file. The boundaries depend on the
corpus and on the size of a part only, so each run over a corpus has the same parts. The
whole corpus is read once before the work starts: malformed input is found then, and
workers read only their own ranges.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.tokens import DocBin
from spacy.vocab import Vocab

from ..corpora.docbin import load_docbin
from ..errors import Errors
from ..io import decode_line, json_object
from ..models.gguf import joined_sha256
from ..pipeline.texts import InputText, get_text

if TYPE_CHECKING:
    import pyarrow

TEXT = ".txt"
JSONL = ".jsonl"
PARQUET = ".parquet"
DOCBIN = ".spacy"
SUFFIXES = (TEXT, JSONL, PARQUET, DOCBIN)
# The documents of a part. It is small enough that a lost part costs little.
PART_SIZE = 500
TEXT_COLUMN = "text"
# Columns that annotation writes. An input's column of the same name is replaced.
RESULT_COLUMNS = ("spans", "status", "issues")
# Floats hold integers exactly up to this one.
_EXACT = 2**53
_INT64 = 2**63


@dataclass(frozen=True)
class Part:
    """A range of documents in a file.

    number (int): The number of the part in the corpus, from 0.
    path (str): The file.
    start (int): The first byte of a text file, or the first row or Doc of another file.
    end (int): The end of the range, exclusive.
    line (int): The number of the first line of a text file, from 1; else 0.
    first (int): The number of the first document in the corpus, from 1.
    documents (int): The number of documents.
    checksum (str): The SHA-256 of the range in a text file, else of the file.
    """

    number: int
    path: str
    start: int
    end: int
    line: int
    first: int
    documents: int
    checksum: str


@dataclass
class Corpus:
    """A corpus that is cut into parts.

    suffix (str): The suffix of its files.
    parts (list[Part]): The parts, in order.
    fields (dict[str, str]): The type of each further field of the JSON objects, by
        name, as a column of a Parquet file: "int64", "float64", "bool", "string", or
        "json" for values of different types. Empty for other inputs.
    """

    suffix: str
    parts: list[Part] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """RETURNS (int): The number of documents."""
        return sum(part.documents for part in self.parts)

    @cached_property
    def checksum(self) -> str:
        """RETURNS (str): A SHA-256 of the content and of the boundaries of the parts.
        The names of the files do not matter, but their order does."""
        digest = hashlib.sha256(self.suffix.encode())
        for part in self.parts:
            digest.update(f"{part.start} {part.end} {part.checksum}\n".encode())
        return digest.hexdigest()


def cut_corpus(source: Path, part_size: int, to_parquet: bool) -> Corpus:
    """Read a corpus and cut it into parts.

    source (Path): A `.txt`, `.jsonl`, `.parquet` or `.spacy` file, or a folder of files
        with one of these suffixes, which are taken in the order of their names. Files
        whose name starts with "_" or "." are skipped, as is usual for such folders.
    part_size (int): The maximum number of documents in a part.
    to_parquet (bool): Whether the output is Parquet instead of JSONL.
    RETURNS (Corpus): The corpus.
    RAISES (ValueError): A file is malformed, or its content can't be written in the
        format of the output. The message names the file and the line.
    """
    files = list_files(source)
    cutter = _Cutter(Corpus(files[0].suffix), part_size, to_parquet)
    for path in files:
        cutter.cut(path)
    cutter.corpus.fields = {
        name: _field_type(kinds) for name, kinds in cutter.kinds.items()
    }
    return cutter.corpus


def list_files(source: Path) -> list[Path]:
    """List the files of a corpus.

    source (Path): A file or a folder.
    RETURNS (list[Path]): The absolute paths, in order.
    RAISES (ValueError): There are no files, or files of several formats.
    """
    if not source.is_dir():
        # A missing file is reported by the reader, with its name.
        files = [source]
    else:
        files = sorted(
            path
            for path in source.iterdir()
            if path.is_file() and not path.name.startswith(("_", "."))
        )
    expected = ", ".join(SUFFIXES)
    if not files:
        reason = f"the folder has no file. Expected files with one of: {expected}"
        raise ValueError(Errors.G822.format(path=source, reason=reason))
    for path in files:
        if path.suffix not in SUFFIXES:
            raise ValueError(
                Errors.G525.format(path=path, found=path.suffix, expected=expected)
            )
        if path.suffix != files[0].suffix:
            expected = f"{files[0].suffix}, as {files[0].name} in the same folder"
            raise ValueError(
                Errors.G525.format(path=path, found=path.suffix, expected=expected)
            )
    return [path.absolute() for path in files]


class _Cutter:
    """Appends the parts of files to a corpus.

    corpus (Corpus): The corpus.
    part_size (int): The maximum number of documents in a part.
    to_parquet (bool): Whether the output is Parquet.
    """

    def __init__(self, corpus: Corpus, part_size: int, to_parquet: bool):
        self.corpus = corpus
        # The types of the values of each field of JSON objects.
        self.kinds: dict[str, set[str]] = {}
        self._part_size = part_size
        self._to_parquet = to_parquet
        self._schema: pyarrow.Schema | None = None
        self._first = 1

    def cut(self, path: Path) -> None:
        """Append the parts of a file."""
        if self.corpus.suffix in (TEXT, JSONL):
            self._cut_lines(path)
            return
        if self.corpus.suffix == PARQUET:
            rows = self._check_parquet(path)
        else:
            rows = len(load_docbin(path))
        checksum = joined_sha256([path])
        for start in range(0, rows, self._part_size):
            end = min(start + self._part_size, rows)
            self._append(path, start, end, 0, end - start, checksum)

    def _append(
        self, path: Path, start: int, end: int, line: int, documents: int, checksum: str
    ) -> None:
        number = len(self.corpus.parts)
        self.corpus.parts.append(
            Part(number, str(path), start, end, line, self._first, documents, checksum)
        )
        self._first += documents

    def _cut_lines(self, path: Path) -> None:
        start, first_line, documents, end = 0, 1, 0, 0
        digest = hashlib.sha256()
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if documents == self._part_size:
                    self._append(
                        path, start, end, first_line, documents, digest.hexdigest()
                    )
                    start, first_line, documents = end, number, 0
                    digest = hashlib.sha256()
                end += len(raw)
                digest.update(raw)
                documents += self._check_line(path, number, raw)
        if documents:
            self._append(path, start, end, first_line, documents, digest.hexdigest())

    def _check_line(self, path: Path, number: int, raw: bytes) -> bool:
        """Check a line. RETURNS (bool): Whether it is a document."""
        line = decode_line(path, number, raw)
        if self.corpus.suffix == TEXT:
            return True
        if not line.strip():
            return False
        record = json_object(path, number, line)
        get_text(record, path, number)
        if self._to_parquet:
            for name, value in record.items():
                if name != TEXT_COLUMN and name not in RESULT_COLUMNS:
                    self.kinds.setdefault(name, set()).add(_kind(value))
        return True

    def _check_parquet(self, path: Path) -> int:
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(path) as file:
                self._check_schema(path, file.schema_arrow)
                row = 0
                for batch in file.iter_batches(columns=[TEXT_COLUMN]):
                    # Strings in a file are not checked to be UTF-8 otherwise.
                    batch.validate(full=True)
                    texts = batch.column(0)
                    if texts.null_count:
                        row += texts.is_null().index(True).as_py()
                        raise ValueError(
                            Errors.G827.format(
                                column=TEXT_COLUMN, path=path, row=row + 1, found=None
                            )
                        )
                    row += len(texts)
                return row
        except (pyarrow.ArrowException, pyarrow.ArrowInvalid) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            reason = " ".join(str(error).split())
            raise ValueError(Errors.G826.format(path=path, reason=reason)) from error

    def _check_schema(self, path: Path, schema: "pyarrow.Schema") -> None:
        import pyarrow

        found = {column.name: column.type for column in schema}
        text_type = found.get(TEXT_COLUMN)
        if text_type not in (pyarrow.string(), pyarrow.large_string()):
            columns = ", ".join(f"{name}: {value}" for name, value in found.items())
            raise ValueError(
                Errors.G828.format(column=TEXT_COLUMN, path=path, found=columns)
            )
        if self._schema is not None and not schema.equals(self._schema):
            raise ValueError(
                Errors.G829.format(path=path, found=schema, expected=self._schema)
            )
        self._schema = schema
        if self._to_parquet:
            return
        for name, column_type in found.items():
            if name not in RESULT_COLUMNS and not _fits_json(column_type):
                raise ValueError(
                    Errors.G830.format(path=path, column=name, found=column_type)
                )


def _kind(value: Any) -> str:
    """The kind of a JSON value, with regard to the column of a Parquet file."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if -_EXACT <= value <= _EXACT:
            return "int"
        return "int64" if -_INT64 <= value < _INT64 else "json"
    if isinstance(value, float):
        return "float64"
    return "string" if isinstance(value, str) else "json"


def _field_type(kinds: set[str]) -> str:
    """The column type of a field, given the kinds of its values."""
    found = kinds - {"null"}
    if found and found <= {"int", "int64"}:
        return "int64"
    if found and found <= {"int", "float64"}:
        return "float64"
    return found.pop() if len(found) == 1 else "json"


def _fits_json(column_type: "pyarrow.DataType") -> bool:
    from pyarrow import types

    if types.is_struct(column_type):
        return all(_fits_json(inner.type) for inner in column_type)
    if types.is_list(column_type) or types.is_large_list(column_type):
        return _fits_json(column_type.value_type)
    return bool(
        types.is_string(column_type)
        or types.is_large_string(column_type)
        or types.is_integer(column_type)
        or types.is_floating(column_type)
        or types.is_boolean(column_type)
        or types.is_null(column_type)
    )


class PartReader:
    """Reads parts. A worker reads parts of the same file in a row, so the content of
    a `.spacy` file, or a row group of a Parquet file, is kept until another is read.

    vocab (Vocab): The vocabulary of Docs.
    """

    def __init__(self, vocab: Vocab):
        self._vocab = vocab
        self._kept: tuple[Any, Any] = (None, None)

    def read(self, part: Part) -> list[InputText]:
        """Read the texts of a part.

        part (Part): The part.
        RETURNS (list[InputText]): The texts, numbered within the corpus.
        RAISES (ValueError): The file has changed since the corpus was cut.
        """
        suffix = Path(part.path).suffix
        if suffix in (TEXT, JSONL):
            return list(self._lines(part, suffix == JSONL))
        if suffix == PARQUET:
            rows = self.rows(part).to_pylist()
            return [
                InputText(row[TEXT_COLUMN], row, None, number)
                for number, row in enumerate(rows, part.first)
            ]
        docs = self._docs(part)
        return [
            InputText(doc.text, {}, doc, number)
            for number, doc in enumerate(docs.get_docs(self._vocab), part.first)
        ]

    def rows(self, part: Part) -> "pyarrow.Table":
        """Read the rows of a part of a Parquet file.

        part (Part): The part.
        RETURNS (pyarrow.Table): The rows, with all columns.
        RAISES (ValueError): The file has changed since the corpus was cut.
        """
        import pyarrow
        from pyarrow import parquet

        self._check_file(part)
        pieces = []
        with parquet.ParquetFile(part.path) as file:
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                low, high = max(part.start, start), min(part.end, end)
                if low < high:
                    table = self._keep(
                        (part.path, part.checksum, group),
                        lambda group=group: file.read_row_group(group),
                    )
                    pieces.append(table.slice(low - start, high - low))
                start = end
        return pyarrow.concat_tables(pieces)

    def _docs(self, part: Part) -> DocBin:
        """The Docs of a part, without those of the other parts of the file."""
        self._check_file(part)
        whole: DocBin = self._keep(
            (part.path, part.checksum), lambda: self._load_docbin(Path(part.path))
        )
        docs = DocBin()
        docs.attrs = whole.attrs
        for name in ("tokens", "spaces", "cats", "span_groups", "user_data", "flags"):
            # Without user data there are fewer entries than Docs.
            setattr(docs, name, getattr(whole, name)[part.start : part.end])
        return docs

    def _load_docbin(self, path: Path) -> DocBin:
        """Load a file and add its strings to the vocabulary, once for all parts."""
        docs = load_docbin(path)
        for string in docs.strings:
            self._vocab.strings.add(string)
        return docs

    def _lines(self, part: Part, is_jsonl: bool) -> Iterator[InputText]:
        path = Path(part.path)
        with path.open("rb") as file:
            file.seek(part.start)
            data = file.read(part.end - part.start)
        if hashlib.sha256(data).hexdigest() != part.checksum:
            raise ValueError(Errors.G831.format(path=path))
        number = part.first
        for line_number, raw in enumerate(_split_lines(data), part.line):
            line = decode_line(path, line_number, raw)
            record = {}
            if is_jsonl:
                if not line.strip():
                    continue
                record = json_object(path, line_number, line)
                line = get_text(record, path, line_number)
            yield InputText(line, record, None, number)
            number += 1

    def _check_file(self, part: Part) -> None:
        """Check once that a file is the one that was cut."""
        key = (part.path, part.checksum)
        if self._kept[0] is not None and self._kept[0][:2] == key:
            return
        if joined_sha256([Path(part.path)]) != part.checksum:
            raise ValueError(Errors.G831.format(path=part.path))

    def _keep(self, key: tuple[Any, ...], load: Any) -> Any:
        if self._kept[0] != key:
            # The old content is freed before the new one is loaded.
            self._kept = (None, None)
            self._kept = (key, load())
        return self._kept[1]


def _split_lines(data: bytes) -> Iterator[bytes]:
    """Split at line feeds only, as files do."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end


def field_value(value: Any, field_type: str) -> Any:
    """Convert a field of a JSON object to a value of a Parquet column.

    value (Any): The value, or None if the object lacks the field.
    field_type (str): The type in `Corpus.fields`.
    RETURNS (Any): The value. For the type "json", a value other than None is
        serialized.
    """
    if value is None or field_type != "json":
        return value
    return json.dumps(value, ensure_ascii=False)
