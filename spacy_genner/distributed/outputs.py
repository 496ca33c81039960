"""The output folder of a run over a corpus.

The folder has one file for each part, `part-000000.jsonl` and so on. Their order is
that of the input. A part is written atomically, and then its record, with counts and a
checksum, goes to `_progress`. A part with a record is finished. The manifest,
`_manifest.json`, is written last: a folder with a manifest is complete. Names that
start with "_" are skipped by the usual readers of such folders.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Errors
from ..io import parse_json, read_text, remove, replaced_file, write_json
from ..pipeline.results import FAILED, STATUSES
from ..pipeline.texts import AnnotatedText, to_record
from .inputs import RESULT_COLUMNS, TEXT_COLUMN, Corpus, field_value

if TYPE_CHECKING:
    import pyarrow

FORMATS = ("jsonl", "parquet")
# The names of more parts would not be in order.
MAX_PARTS = 1_000_000
MANIFEST = "_manifest.json"
FAILED_FILE = "_failed.jsonl"
PROGRESS = "_progress"
_LOCK = "_lock"
_RUN = "run.json"
_ATTEMPTS = ".attempts"
# What workers leave that were killed while they wrote.
_UNFINISHED = ".part-*.new"
_LAYOUT = 1
_OWN_NAME = re.compile(
    r"\.?part-\d{6}\.(jsonl|parquet)(\..*\.new)?"
    rf"|\.?({MANIFEST}|{FAILED_FILE})(\..*\.new)?|{PROGRESS}|{_LOCK}"
)
_ID_FIELDS = ("id", "doc_id")


@dataclass(frozen=True)
class PartRecord:
    """The record of a finished part.

    part (int): Its number, from 0.
    file (str): The name of its file.
    first (int): The number of its first document in the corpus, from 1.
    documents (int): The number of documents.
    spans (int): The number of spans.
    statuses (dict[str, int]): The number of documents by status.
    bytes (int): The size of the file.
    sha256 (str): The checksum of the file.
    failed (list[dict[str, Any]]): The failed documents: `number` in the corpus, `id`
        if the document has one, `file` and `reason`.
    """

    part: int
    file: str
    first: int
    documents: int
    spans: int
    statuses: dict[str, int]
    bytes: int
    sha256: str
    failed: list[dict[str, Any]]


@dataclass
class Summary:
    """The result of a run.

    output (Path): The output folder.
    documents (int): The number of documents.
    spans (int): The number of spans.
    statuses (dict[str, int]): The number of documents by status.
    parts (int): The number of parts.
    resumed (int): The number of parts that an earlier run had finished.
    first_failure (str): The reason of the first failed document, if there is one.
    """

    output: Path
    documents: int = 0
    spans: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    parts: int = 0
    resumed: int = 0
    first_failure: str = ""

    @property
    def failed(self) -> int:
        """RETURNS (int): The number of failed documents."""
        return self.statuses.get(FAILED, 0)


class OutputFolder:
    """The folder of the parts of a run. The driver and the workers use it.

    path (Path): The folder.
    part_format (str): "jsonl" or "parquet".
    """

    def __init__(self, path: Path, part_format: str):
        self.path = path
        self.part_format = part_format

    def part_path(self, number: int) -> Path:
        """Return the file of a part.

        number (int): The number of the part.
        RETURNS (Path): The file.
        """
        return self.path / f"part-{number:06}.{self.part_format}"

    def _record_path(self, number: int) -> Path:
        return self.path / PROGRESS / f"{number:06}.json"

    def _attempts_path(self, number: int) -> Path:
        return self._record_path(number).with_suffix(_ATTEMPTS)

    # The driver's side

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder, and let one run at a time use it.

        RAISES (ValueError): Another run uses it, or it has files of others.
        """
        from filelock import FileLock, Timeout

        if self.path.exists() and not self.path.is_dir():
            raise ValueError(Errors.G823.format(path=self.path))
        self.path.mkdir(parents=True, exist_ok=True)
        for found in sorted(self.path.iterdir()):
            if not _OWN_NAME.fullmatch(found.name):
                raise ValueError(Errors.G824.format(path=self.path, found=found.name))
        lock = FileLock(self.path / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(Errors.G825.format(path=self.path)) from None
        try:
            yield
        finally:
            with suppress(OSError):
                (self.path / _LOCK).unlink()
            lock.release()
            # A run that was refused leaves no empty folder.
            with suppress(OSError):
                self.path.rmdir()

    def begin(
        self, identity: Mapping[str, Any], resume: bool | None = None
    ) -> set[int]:
        """Start a run, or continue an earlier one.

        identity (Mapping[str, Any]): The settings that the output depends on.
        resume (bool | None): True continues an earlier run with the same settings.
            False removes its parts. None expects an empty folder.
        RETURNS (set[int]): The numbers of the finished parts.
        RAISES (ValueError): The folder has parts of an earlier run that is not to be
            continued, or that can't be.
        """
        names = {found.name for found in self.path.iterdir()} - {_LOCK}
        has_parts = any(not name.startswith((PROGRESS, ".")) for name in names)
        if has_parts and resume is None:
            raise ValueError(Errors.G832.format(path=self.path))
        # There is nothing to lose in a run without a part.
        if names and (resume is False or not has_parts):
            for name in sorted(names):
                remove(self.path / name)
            names = set()
        if not names:
            self._run_path.parent.mkdir(exist_ok=True)
            write_json(self._run_path, {"layout": _LAYOUT, **identity})
            return set()
        self._check_identity(identity)
        if self.is_complete:
            return {record.part for record in self._manifest_records()}
        for path in self._run_path.parent.glob(f"*{_ATTEMPTS}"):
            remove(path)
        return set(self._finished())

    @property
    def is_complete(self) -> bool:
        """RETURNS (bool): Whether the folder has a manifest."""
        return (self.path / MANIFEST).is_file()

    @property
    def _run_path(self) -> Path:
        return self.path / PROGRESS / _RUN

    def _check_identity(self, identity: Mapping[str, Any]) -> None:
        found = self._read(self.path / MANIFEST if self.is_complete else self._run_path)
        if self.is_complete:
            found = found.get("run", {})
        wanted = {"layout": _LAYOUT, **identity}
        different = [
            f"{key} ({_short(found.get(key))}, now {_short(value)})"
            for key, value in wanted.items()
            if found.get(key) != value
        ]
        if different:
            raise ValueError(
                Errors.G833.format(path=self.path, found=", ".join(different))
            )

    def _finished(self) -> Iterator[int]:
        for path in (self.path / PROGRESS).iterdir():
            if re.fullmatch(r"\d{6}\.json", path.name):
                record = self.read_record(int(path.stem))
                file = self.path / record.file
                # A part that was removed or changed by hand is computed again.
                if file.is_file() and file.stat().st_size == record.bytes:
                    yield record.part

    def read_record(self, number: int) -> PartRecord:
        """Read the record of a finished part.

        number (int): The number of the part.
        RETURNS (PartRecord): The record.
        RAISES (ValueError): The record is damaged.
        """
        path = self._record_path(number)
        return _part_record(self._read(path), path)

    def _manifest_records(self) -> Iterator[PartRecord]:
        path = self.path / MANIFEST
        parts = self._read(path).get("parts", ())
        for number, content in enumerate(parts):
            content = {"part": number, "failed": [], **content}
            record = _part_record(content, path)
            file = self.path / record.file
            if not file.is_file() or file.stat().st_size != record.bytes:
                raise ValueError(
                    Errors.G834.format(path=file, reason="it is missing or changed")
                )
            yield record

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            content = parse_json(read_text(path))
        except (OSError, ValueError) as error:
            raise ValueError(Errors.G834.format(path=path, reason=error)) from error
        if not isinstance(content, dict):
            raise ValueError(Errors.G834.format(path=path, reason="it is no object"))
        return content

    def finish(
        self, corpus: Corpus, identity: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> Summary:
        """Write the list of failed documents and the manifest of a run whose parts are
        all finished, unless the folder is complete.

        corpus (Corpus): The corpus.
        identity (Mapping[str, Any]): The settings that the output depends on.
        facts (Mapping[str, Any]): Further content of the manifest.
        RETURNS (Summary): The counts.
        RAISES (ValueError): A record is missing or damaged, or its documents are not
            those of the part.
        """
        summary = Summary(self.path, parts=len(corpus.parts))
        statuses: Counter[str] = Counter(dict.fromkeys(STATUSES, 0))
        if self.is_complete:
            content = self._read(self.path / MANIFEST)
            statuses.update(content["statuses"])
            summary.documents, summary.spans = content["documents"], content["spans"]
            summary.first_failure = content["first_failure"]
        else:
            parts = []
            with replaced_file(self.path / FAILED_FILE) as fresh:
                with fresh.open("w", encoding="utf-8", newline="\n") as file:
                    for part in corpus.parts:
                        record = self.read_record(part.number)
                        place = (record.part, record.first, record.documents)
                        if place != (part.number, part.first, part.documents):
                            path = self._record_path(part.number)
                            reason = f"it has the documents of another part: {place}"
                            raise ValueError(
                                Errors.G834.format(path=path, reason=reason)
                            )
                        for failure in record.failed:
                            file.write(json.dumps(failure, ensure_ascii=False) + "\n")
                            summary.first_failure = (
                                summary.first_failure or failure["reason"]
                            )
                        summary.documents += record.documents
                        summary.spans += record.spans
                        statuses.update(record.statuses)
                        content = asdict(record)
                        del content["part"], content["failed"]
                        parts.append(content)
            write_json(
                self.path / MANIFEST,
                {
                    "format": self.part_format,
                    "documents": summary.documents,
                    "spans": summary.spans,
                    "statuses": dict(statuses),
                    "failed": FAILED_FILE,
                    "first_failure": summary.first_failure,
                    **facts,
                    "run": {"layout": _LAYOUT, **identity},
                    "parts": parts,
                },
            )
        remove(self.path / PROGRESS)
        for path in self.path.glob(_UNFINISHED):
            remove(path)
        summary.statuses = dict(statuses)
        return summary

    # The worker's side

    def check_visible(self, identity: Mapping[str, Any]) -> bool:
        """Check that a worker sees the folder of the driver.

        identity (Mapping[str, Any]): The settings of the run.
        RETURNS (bool): Whether the folder has the file that the driver wrote.
        """
        try:
            found = parse_json(read_text(self._run_path))
        except (OSError, ValueError):
            return False
        return bool(found == {"layout": _LAYOUT, **identity})

    def count_attempt(self, number: int) -> int:
        """Count an attempt to annotate a part.

        number (int): The number of the part.
        RETURNS (int): The number of attempts in this run, including this one.
        RAISES (OSError): The count can't be written.
        """
        path = self._attempts_path(number)
        count = 1 + (path.stat().st_size if path.is_file() else 0)
        with replaced_file(path, sweep=False) as fresh:
            fresh.write_bytes(b"." * count)
        return count

    def write_part(
        self,
        number: int,
        annotated: Iterable[AnnotatedText],
        spans_key: str,
        fields: Mapping[str, str],
        rows: "pyarrow.Table | None" = None,
    ) -> PartRecord:
        """Write the file of a part, and then its record.

        number (int): The number of the part.
        annotated (Iterable[AnnotatedText]): The annotated texts.
        spans_key (str): The key of the span group.
        fields (Mapping[str, str]): The further fields of JSON objects, with the types
            of their columns.
        rows (pyarrow.Table | None): The rows of the input, if it is a Parquet file and
            the output, too.
        RETURNS (PartRecord): The record.
        RAISES (OSError): A file can't be written.
        """
        path, counts = self.part_path(number), _Counts(self.part_path(number).name)
        records = (
            counts.add(text, to_record(text, spans_key), len(text.doc.spans[spans_key]))
            for text in annotated
        )
        with replaced_file(path, sweep=False) as fresh:
            if self.part_format == "jsonl":
                with fresh.open("w", encoding="utf-8", newline="\n") as file:
                    for record in records:
                        file.write(json.dumps(record, ensure_ascii=False) + "\n")
            else:
                from pyarrow import parquet

                table = _result_table(list(records), fields, rows)
                parquet.write_table(table, fresh)
            data_size, checksum = fresh.stat().st_size, _sha256(fresh)
        part_record = PartRecord(
            part=number,
            file=path.name,
            first=counts.first,
            documents=sum(counts.statuses.values()),
            spans=counts.spans,
            statuses=dict(counts.statuses),
            bytes=data_size,
            sha256=checksum,
            failed=counts.failed,
        )
        with replaced_file(self._record_path(number), sweep=False) as fresh:
            fresh.write_text(json.dumps(asdict(part_record)), encoding="utf8")
        return part_record


class _Counts:
    """Counts over the documents of a part.

    file (str): The name of the part's file.
    """

    def __init__(self, file: str):
        self.first = 0
        self.spans = 0
        self.statuses: Counter[str] = Counter()
        self.failed: list[dict[str, Any]] = []
        self._file = file

    def add(
        self, annotated: AnnotatedText, record: dict[str, Any], spans: int
    ) -> dict[str, Any]:
        """Count a document. RETURNS (dict[str, Any]): Its record, unchanged."""
        number = annotated.source.number
        self.first = self.first or number
        self.spans += spans
        self.statuses[record["status"]] += 1
        if record["status"] == FAILED:
            failure: dict[str, Any] = {"number": number}
            for name in _ID_FIELDS:
                if name in annotated.source.fields:
                    failure["id"] = annotated.source.fields[name]
                    break
            reason = annotated.error or FAILED
            self.failed.append({**failure, "file": self._file, "reason": reason})
        return record


def result_columns(records: list[dict[str, Any]]) -> "dict[str, pyarrow.Array]":
    """Create the columns that annotation adds to a table.

    records (list[dict[str, Any]]): The records of the documents.
    RETURNS (dict[str, pyarrow.Array]): The columns `spans`, `status` and `issues`.
    """
    import pyarrow

    int64, string = pyarrow.int64(), pyarrow.string()
    span = [("start", int64), ("end", int64), ("label", string)]
    issue = [("code", string), ("message", string), ("start", int64), ("end", int64)]
    types = {
        "spans": pyarrow.list_(pyarrow.struct([*span, ("score", pyarrow.float64())])),
        "status": string,
        "issues": pyarrow.list_(pyarrow.struct([*issue, ("within", string)])),
    }
    return {
        name: pyarrow.array([record[name] for record in records], types[name])
        for name in RESULT_COLUMNS
    }


def _result_table(
    records: list[dict[str, Any]],
    fields: Mapping[str, str],
    rows: "pyarrow.Table | None",
) -> "pyarrow.Table":
    import pyarrow

    if rows is not None:
        return add_columns(rows, result_columns(records))
    columns = {}
    for name, field_type in fields.items():
        values = [field_value(record.get(name), field_type) for record in records]
        column_type = "string" if field_type == "json" else field_type
        columns[name] = pyarrow.array(values, pyarrow.type_for_alias(column_type))
    texts = [record[TEXT_COLUMN] for record in records]
    columns[TEXT_COLUMN] = pyarrow.array(texts, pyarrow.string())
    return pyarrow.table(columns | result_columns(records))


def add_columns(
    table: "pyarrow.Table", columns: "Mapping[str, pyarrow.Array]"
) -> "pyarrow.Table":
    """Add columns to a table, or replace those with the same name.

    table (pyarrow.Table): The table.
    columns (Mapping[str, pyarrow.Array]): The columns.
    RETURNS (pyarrow.Table): The table with the columns at its end.
    """
    kept = [name for name in table.column_names if name not in columns]
    table = table.select(kept)
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def _part_record(content: dict[str, Any], path: Path) -> PartRecord:
    try:
        return PartRecord(**content)
    except TypeError as error:
        raise ValueError(Errors.G834.format(path=path, reason=error)) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _short(value: Any) -> str:
    """A value for a message, with checksums cut."""
    text = str(value)
    return text[:8] + "…" if re.fullmatch(r"[0-9a-f]{64}", text) else text
