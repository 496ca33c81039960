"""Read and write files: atomic files, atomic folders, text lines and untrusted JSON.

An atomic write fills a temporary sibling, which then replaces the old file or folder.
A process that is killed at any point leaves the old content or the new content. All
modules of the package write through these functions.
"""

import codecs
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EISDIR
from pathlib import Path
from typing import IO, Any

from .errors import Errors

# Users give no such names to their folders, so these folders are the project's own.
_BACKUP_SUFFIX = ".genner-backup"
_FRESH_SUFFIX = ".genner-new"

# The project reads JSON with a few levels of nesting. Python parses values that are
# nested much deeper, but can't write or print them afterwards.
MAX_DEPTH = 100
_CHUNK = 1 << 20
_JSON_SPACE = " \t\r\n"
# The length of the longest unit that can't be parsed in part: two escapes, which may
# form one character.
_ESCAPES = len(r"\u0000\u0000")
_DECODER = json.JSONDecoder()


# Atomic files


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Replace a file atomically by the content that the block writes.

    path (Path): The file to write. A missing parent folder is created.
    YIELDS (Path): An empty temporary file in the same folder. It becomes `path` when
        the block ends without an error, and is removed otherwise.
    RAISES (OSError): The file can't be written. The error names `path`.
    """
    fresh = _file_beside(path)
    try:
        _set_default_mode(fresh, 0o666)
        yield fresh
        os.replace(fresh, path)
    except BaseException as error:
        fresh.unlink(missing_ok=True)
        if isinstance(error, OSError):
            _rename_error(error, fresh, path)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a binary file atomically.

    path (Path): The file. A missing parent folder is created.
    data (bytes): The content.
    RAISES (OSError): The file can't be written. The error names `path`.
    """
    with replaced_file(path) as fresh:
        fresh.write_bytes(data)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically, indented for readers.

    path (Path): The file. A missing parent folder is created.
    content (Any): A value that `json.dumps` accepts.
    RAISES (OSError): The file can't be written. The error names `path`.
    """
    with replaced_file(path) as fresh:
        fresh.write_text(json_text(content), encoding="utf8")


def json_text(content: Any) -> str:
    """RETURNS (str): Indented JSON that ends with a line break."""
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def check_place(path: Path) -> None:
    """Check that a file can be written, before the work of computing its content.

    path (Path): The file. A missing parent folder is created; an existing file stays
        unchanged.
    RAISES (OSError): The file can't be written. The error names `path`.
    """
    _file_beside(path).unlink()


@contextmanager
def temporary_text_file(folder: Path) -> Iterator[IO[str]]:
    """Open an anonymous text file that holds intermediate results.

    folder (Path): The folder of the output, whose disk has room for the content.
    YIELDS (IO[str]): The file, open for writing and reading as UTF-8. It disappears
        with the block, or with a killed process.
    """
    with tempfile.TemporaryFile(
        "w+", encoding="utf-8", newline="\n", dir=folder
    ) as file:
        yield file


def _file_beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    try:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".new"
        )
    except OSError as error:
        # The error names the temporary file, which the user never named.
        error.filename = str(path)
        raise
    os.close(handle)
    return Path(name)


def _set_default_mode(path: Path, mode: int) -> None:
    """Apply the umask: `tempfile` restricts its files and folders to the owner."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)


def _rename_error(error: OSError, fresh: Path, path: Path) -> None:
    """Replace the temporary name in an error by the name that the user knows. The error
    of a full disk names no file."""
    found = error.filename
    if found is None and error.errno is not None:
        error.filename = str(path)
    elif isinstance(found, (str, os.PathLike)) and Path(found).is_relative_to(fresh):
        error.filename = str(path / Path(found).relative_to(fresh))


# Atomic folders


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Replace a folder atomically by the content that the block writes.

    folder (Path): The folder to write. A missing parent folder is created.
    YIELDS (Path): An empty temporary folder in the same parent. It becomes `folder`
        when the block ends without an error, and is removed otherwise.
    RAISES (OSError): The folder can't be written. The error names a path in `folder`.
    RAISES (ValueError): The old state was moved to the backup and can't be restored.
        The message names the backup.
    """
    backup = backup_of(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    fresh = Path(
        tempfile.mkdtemp(
            dir=folder.parent, prefix=f".{folder.name}.", suffix=_FRESH_SUFFIX
        )
    )
    moved = False
    try:
        _set_default_mode(fresh, 0o777)
        yield fresh
        if folder.exists():
            # A backup without its folder is the current state, so an old backup is
            # removed only while the folder exists.
            if backup.exists():
                shutil.rmtree(backup)
            os.replace(folder, backup)
            moved = True
        os.replace(fresh, folder)
    except BaseException as error:
        if moved:
            with suppress(OSError):
                os.replace(backup, folder)
        shutil.rmtree(fresh, ignore_errors=True)
        if isinstance(error, OSError):
            _rename_error(error, fresh, folder)
        if moved:
            check_folder(folder)
        raise
    shutil.rmtree(backup, ignore_errors=True)


def backup_of(folder: Path) -> Path:
    """Return the path that holds the old state while a new one replaces it.

    folder (Path): The folder.
    RETURNS (Path): Its sibling `.NAME.genner-backup`.
    """
    return folder.with_name(f".{folder.name}{_BACKUP_SUFFIX}")


def check_folder(folder: Path) -> None:
    """Report a folder that is missing because a save was interrupted.

    folder (Path): The folder to read.
    RAISES (ValueError): The folder is missing and its backup exists.
    """
    backup = backup_of(folder)
    if not folder.exists() and backup.exists():
        raise ValueError(Errors.G251.format(folder=folder, backup=backup))


def check_unused(folder: Path) -> None:
    """Check that a folder can be written without replacing anything.

    folder (Path): The folder.
    RAISES (ValueError): The path exists and is not an empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(Errors.G261.format(folder=folder))


def _remove_leftovers(folder: Path) -> None:
    """Remove the unfinished states that killed processes left beside a folder."""
    # `tempfile` inserts 8 characters, none of which is a dot.
    name = re.compile(rf"\.{re.escape(folder.name)}\.\w{{8}}{re.escape(_FRESH_SUFFIX)}")
    for found in folder.parent.iterdir():
        if name.fullmatch(found.name):
            shutil.rmtree(found, ignore_errors=True)


# Text


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read a file line by line. Only a line feed ends a line, as in JSONL, because
    texts may contain other line separators.

    path (Path): The file. A byte order mark at its start is skipped.
    YIELDS (tuple[int, str]): The number of the line, from 1, and the line without its
        end.
    RAISES (ValueError): The file is not UTF-8.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf8(path, number, error) from error
            yield number, line.rstrip("\r\n")


def read_text(path: Path) -> str:
    """Read a whole file without changing a character. Line ends and a byte order mark
    stay, because offsets may count them.

    path (Path): The file.
    RETURNS (str): Its text.
    RAISES (ValueError): The file is not UTF-8.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _not_utf8(path, line, error) from error


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> ValueError:
    return ValueError(Errors.G510.format(path=path, line=line, reason=error.reason))


# JSON from untrusted sources


def parse_json(text: str) -> Any:
    """Parse a JSON value from an untrusted source.

    text (str): The value, with any white space around it.
    RETURNS (Any): The value.
    RAISES (ValueError): The text is not JSON, is nested too deep, or contains a number
        with thousands of digits.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value)
    return value


def has_lone_surrogate(text: str) -> bool:
    """Check for a lone surrogate, which JSON escapes can express and UTF-8 can't.

    text (str): A string parsed from JSON.
    RETURNS (bool): Whether the string contains one.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a JSONL file and skip empty lines.

    path (Path): The file.
    YIELDS (tuple[int, dict[str, Any]]): The number of the line, from 1, and the object.
    RAISES (ValueError): A line is not a JSON object.
    """
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError as error:
            raise ValueError(
                Errors.G512.format(path=path, line=number, found=error)
            ) from error
        if not isinstance(record, dict):
            found = type(record).__name__
            raise ValueError(Errors.G512.format(path=path, line=number, found=found))
        yield number, record


def json_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a JSON list, or of a file with one object on each line.

    path (Path): The file, in UTF-8. A list is parsed object by object and never held
        in memory as a whole.
    YIELDS (tuple[int, dict[str, Any]]): The number of the line where the object starts,
        from 1, and the object.
    RAISES (ValueError): The file has neither form.
    """
    stream = _JsonStream(path)
    stream.skip(_JSON_SPACE)
    yield from _list_items(stream) if stream.peek() == "[" else json_objects(path)


def _list_items(stream: "_JsonStream") -> Iterator[tuple[int, dict[str, Any]]]:
    stream.advance()
    first = True
    while True:
        stream.skip(_JSON_SPACE)
        if stream.peek() == "]":
            break
        if not first:
            if stream.peek() != ",":
                raise stream.error(f"no ',' or ']' before {stream.upcoming()}")
            stream.advance()
            stream.skip(_JSON_SPACE)
        first = False
        if stream.peek() != "{":
            raise stream.error(f"expected an object, found {stream.upcoming()}")
        yield stream.line, stream.parse_object()
    stream.advance()
    stream.skip(_JSON_SPACE)
    if stream.peek():
        raise stream.error(f"{stream.upcoming()} after the end of the list")


class _JsonStream:
    """A JSON file that is decoded and parsed chunk by chunk.

    path (Path): The file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.line = 1
        self._buffer = ""
        self._at = 0
        self._pieces = self._decoded()

    def _decoded(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        with self.path.open("rb") as file:
            line = 1
            while True:
                chunk = file.read(_CHUNK)
                try:
                    yield decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    line += error.object[: error.start].count(b"\n")
                    raise _not_utf8(self.path, line, error) from error
                if not chunk:
                    return
                line += chunk.count(b"\n")

    def _grow(self) -> bool:
        """Drop the consumed text and append the next piece, if there is one."""
        for piece in self._pieces:
            self._buffer = self._buffer[self._at :] + piece
            self._at = 0
            return True
        return False

    def peek(self) -> str:
        """RETURNS (str): The next character, or "" at the end of the file."""
        while self._at >= len(self._buffer):
            if not self._grow():
                return ""
        return self._buffer[self._at]

    def advance(self, size: int = 1) -> None:
        """Consume characters that are in the buffer."""
        self.line += self._buffer.count("\n", self._at, self._at + size)
        self._at += size

    def skip(self, chars: str) -> None:
        """Consume characters up to the first that is not one of `chars`."""
        while (char := self.peek()) and char in chars:
            self.advance()

    def parse_object(self) -> dict[str, Any]:
        """Consume the object that starts at the current position."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
                _check_depth(value)
            except json.JSONDecodeError as error:
                if _may_continue(error, len(self._buffer)) and self._grow():
                    continue
                raise self.error(error.msg) from error
            except RecursionError:
                raise self.error(_too_deep()) from None
            except ValueError as error:
                raise self.error(error) from error
            self.advance(end - self._at)
            return dict(value)

    def upcoming(self) -> str:
        """RETURNS (str): The next few characters, for a message."""
        rest = self._buffer[self._at : self._at + 20]
        return repr(rest) if rest else "the end of the file"

    def error(self, reason: object) -> ValueError:
        """RETURNS (ValueError): An error that names the file and the current line."""
        return ValueError(
            Errors.G558.format(path=self.path, line=self.line, reason=reason)
        )


def _may_continue(error: json.JSONDecodeError, size: int) -> bool:
    """Return whether an object may only be cut off at the end of the buffer."""
    # An error in a string names the start of the string. Errors in literals and
    # escapes name their own position.
    return error.msg.startswith("Unterminated") or error.pos > size - _ESCAPES


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
