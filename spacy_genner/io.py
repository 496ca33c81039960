"""Read and write files: atomic files, atomic folders, text lines and untrusted JSON.

An atomic write fills a temporary sibling, which then replaces the old file or folder.
A process that is killed at any point leaves the old content or the new content, and the
next write removes its temporary sibling. Symbolic links are followed, so that a link
stays and its target is replaced. Processes may write the same path at the same time:
the last one wins. All modules of the package write through these functions.
"""

import codecs
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EISDIR, ELOOP, ENOSPC, ENOTDIR
from pathlib import Path
from time import time
from typing import IO, Any

from .errors import Errors

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Users give no such names to their folders, so these folders are the project's own.
_BACKUP_SUFFIX = ".genner-backup"
_FRESH_SUFFIX = ".genner-new"
_LOCK_SUFFIX = ".genner-lock"
_FILE_SUFFIX = ".new"
# The number of characters that `tempfile` inserts, none of which is a dot.
_RANDOM = 8
# The longest name of a file in bytes, on all usual file systems.
_MAX_NAME = 255
# The age in seconds of a temporary sibling that is removed although the file system has
# no locks.
_ABANDONED_AGE = 86400.0

# The project reads JSON with a few levels of nesting. Python parses values that are
# nested much deeper, but can't write or print them afterwards.
MAX_DEPTH = 100
_CHUNK = 1 << 20
_JSON_SPACE = " \t\r\n"
# The length of the longest unit that can't be parsed in part: two escapes, which may
# form one character.
_ESCAPES = len(r"\u0000\u0000")
_DECODER = json.JSONDecoder()
# The first bytes of compressed files, with the kind and the command that unpacks it.
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "unzstd"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "7z x"),
}


# Atomic files


@contextmanager
def replaced_file(path: Path, sweep: bool = True) -> Iterator[Path]:
    """Replace a file atomically by the content that the block writes.

    path (Path): The file to write, or a link to it. A missing parent folder is created.
    sweep (bool): Whether to look for the temporary files of killed processes, which
        lists the folder. The writer of a folder with very many files looks for them
        once instead.
    YIELDS (Path): An empty temporary file in the same folder. It becomes `path` when
        the block ends without an error, and is removed otherwise.
    RAISES (OSError): The file can't be written. The error names `path`.
    RAISES (ValueError): The path is a pipe or a device.
    """
    target = _resolved(path)
    fresh, lock = _file_beside(target, path, sweep)
    try:
        _set_default_mode(fresh, 0o666)
        yield fresh
        os.replace(fresh, target)
    except BaseException as error:
        fresh.unlink(missing_ok=True)
        if isinstance(error, OSError):
            _rename_error(error, fresh, path)
        raise
    finally:
        _unlock(lock)


def write_bytes(path: Path, data: bytes, private: bool = False) -> None:
    """Write a binary file atomically.

    path (Path): The file. A missing parent folder is created.
    data (bytes): The content.
    private (bool): Whether only the owner can read the file.
    RAISES (OSError): The file can't be written. The error names `path`.
    """
    with replaced_file(path) as fresh:
        if private:
            fresh.chmod(0o600)
        fresh.write_bytes(data)


def make_private_folder(path: Path) -> None:
    """Create a folder and its missing parents, which only the owner can enter. An
    existing folder keeps its mode.

    path (Path): The folder.
    RAISES (OSError): The folder can't be created.
    """
    if not path.is_dir():
        if path.parent != path:
            make_private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


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


def expand_home(path: str | Path) -> Path:
    """Replace `~` at the start of a path by the home folder, as a shell does: the name
    of a user who does not exist stays, and `Path.expanduser` raises an error for it.

    path (str | Path): The path.
    RETURNS (Path): The path with the home folder.
    """
    return Path(os.path.expanduser(path))


def check_place(path: Path) -> None:
    """Check that a file can be written, before the work of computing its content.

    path (Path): The file. A missing parent folder is created; an existing file stays
        unchanged.
    RAISES (OSError): The file can't be written. The error names `path`.
    """
    fresh, lock = _file_beside(_resolved(path), path)
    fresh.unlink()
    _unlock(lock)


def check_suffix(path: Path, *allowed: str) -> None:
    """Check the suffix of a file.

    path (Path): The file.
    *allowed (str): The allowed suffixes.
    RAISES (ValueError): The file has another suffix.
    """
    if path.suffix not in allowed:
        expected = ", ".join(allowed)
        raise ValueError(
            Errors.G525.format(path=path, found=path.suffix, expected=expected)
        )


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


def _file_beside(
    target: Path, path: Path, sweep: bool = True
) -> tuple[Path, int | None]:
    """Create a locked temporary file beside a target. Errors name `path`."""
    _make_parent(target, path)
    if target.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    if target.exists() and not target.is_file():
        # A file in the place of a pipe or of /dev/null would break its other users.
        raise ValueError(Errors.G575.format(path=path))
    if sweep:
        _remove_leftovers(target, _FILE_SUFFIX)

    def create() -> Path:
        try:
            handle, name = tempfile.mkstemp(
                dir=target.parent,
                prefix=_temporary_prefix(target, _FILE_SUFFIX),
                suffix=_FILE_SUFFIX,
            )
        except OSError as error:
            # The error names the temporary file, which the user never named.
            error.filename = str(path)
            raise
        os.close(handle)
        return Path(name)

    return _create_locked(create)


def _resolved(path: Path) -> Path:
    """Follow the links of a path, so that a link stays and its target is replaced.

    RAISES (OSError): The links lead in a circle. The error names `path`.
    """
    target = Path(os.path.realpath(path))
    # `realpath` keeps the links of a circle, which a file must not replace.
    if any(each.is_symlink() for each in (target, *target.parents)):
        raise OSError(ELOOP, os.strerror(ELOOP), str(path))
    return target


def _make_parent(target: Path, path: Path) -> None:
    """Create the missing folders above a target. Errors name `path`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        parent = next(each for each in target.parents if each.exists())
        reason = os.strerror(ENOTDIR)
        raise NotADirectoryError(ENOTDIR, reason, str(parent)) from None
    except OSError as error:
        error.filename = str(path)
        raise


def _hidden_name(name: str, suffix: str, room: int = 0) -> str:
    """RETURNS (str): The name of a hidden sibling. Of a name that would be too long,
    it has the first characters and a hash."""
    raw = os.fsencode(name)
    if len(raw) + len(suffix) + room + 1 > _MAX_NAME:
        digest = hashlib.sha256(raw).hexdigest()[:16]
        name = f"{raw[:150].decode(errors='ignore')}-{digest}"
    return f".{name}{suffix}"


def _set_default_mode(path: Path, mode: int) -> None:
    """Apply the umask: `tempfile` restricts its files and folders to the owner."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)


def _rename_error(error: OSError, fresh: Path, path: Path) -> None:
    """Replace the temporary name in an error by the name that the user knows. The error
    of a full disk names no file, or the file that is copied."""
    for found in (error.filename, error.filename2):
        if isinstance(found, (str, os.PathLike)) and Path(found).is_relative_to(fresh):
            error.filename = str(path / Path(found).relative_to(fresh))
            error.filename2 = None
            return
    full = error.errno in (ENOSPC, EDQUOT)
    if full or (error.filename is None and error.errno is not None):
        error.filename, error.filename2 = str(path), None


# Leftovers and locks


def _temporary_prefix(target: Path, suffix: str) -> str:
    """RETURNS (str): The start of the names of temporary siblings."""
    return _hidden_name(target.name, ".", _RANDOM + len(suffix))


def _create_locked(create: Callable[[], Path]) -> tuple[Path, int | None]:
    """Create a temporary file or folder that no other process takes for a leftover.

    create (Callable[[], Path]): Creates it under a new name.
    RETURNS (tuple[Path, int | None]): The path, and the descriptor that holds its lock,
        which ends with the process. None if the file system has no locks.
    """
    while True:
        fresh = create()
        if fcntl is None:
            return fresh, None
        try:
            lock = os.open(fresh, os.O_RDONLY)
        except FileNotFoundError:
            # Removed by another process before it was locked.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        except OSError:
            os.close(lock)
            return fresh, None
        if fresh.exists():
            return fresh, lock
        os.close(lock)


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _remove_leftovers(target: Path, suffix: str) -> None:
    """Remove the unfinished siblings that killed processes left."""
    prefix = re.escape(_temporary_prefix(target, suffix))
    name = re.compile(rf"{prefix}\w{{{_RANDOM}}}{re.escape(suffix)}")
    with suppress(OSError):
        for found in os.listdir(target.parent):
            if name.fullmatch(found):
                with suppress(OSError):
                    _remove_abandoned(target.parent / found)


def _remove_abandoned(path: Path) -> None:
    """Remove a temporary sibling unless a running process writes it."""
    if fcntl is None or path.is_symlink():
        lock = None
    else:
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if lock is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            except OSError:
                _unlock(lock)
                lock = None
        if lock is None and not path.is_symlink():
            if time() - path.stat().st_mtime < _ABANDONED_AGE:
                return
        remove(path)
    finally:
        _unlock(lock)


def remove(path: Path) -> None:
    """Remove a file or a folder with its content. A link is removed and not followed.

    path (Path): The path, which need not exist.
    RAISES (OSError): The path can't be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _swap_lock(target: Path) -> Iterator[None]:
    """Let one process at a time put a new folder into its place. The file of the lock
    exists only meanwhile."""
    path = target.with_name(_hidden_name(target.name, _LOCK_SUFFIX))
    lock: int | None = None
    while fcntl is not None:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            # Without locks, or the right to create one, only a single process can
            # write safely.
            break
        # The previous owner may have removed the file meanwhile.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), os.stat(path)):
                break
        os.close(lock)
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):
                path.unlink()
            os.close(lock)


# Atomic folders


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Replace a folder atomically by the content that the block writes.

    folder (Path): The folder to write, or a link to it. A missing parent folder is
        created.
    YIELDS (Path): An empty temporary folder in the same parent. It becomes `folder`
        when the block ends without an error, and is removed otherwise.
    RAISES (OSError): The folder can't be written. The error names a path in `folder`.
    RAISES (ValueError): The old state was moved to the backup and can't be restored.
        The message names the backup.
    """
    target = _resolved(folder)
    _make_parent(target, folder)
    # One look: another process may move the folder away between two.
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(target.stat().st_mode):
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(folder))
    _remove_leftovers(target, _FRESH_SUFFIX)
    prefix = _temporary_prefix(target, _FRESH_SUFFIX)

    def create() -> Path:
        try:
            return Path(
                tempfile.mkdtemp(dir=target.parent, prefix=prefix, suffix=_FRESH_SUFFIX)
            )
        except OSError as error:
            # As in `_file_beside`.
            error.filename = str(folder)
            raise

    fresh, lock = _create_locked(create)
    try:
        _set_default_mode(fresh, 0o777)
        yield fresh
        with _swap_lock(target):
            _swap(fresh, target)
    except BaseException as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if isinstance(error, OSError):
            _rename_error(error, fresh, folder)
        raise
    finally:
        _unlock(lock)


def _swap(fresh: Path, target: Path) -> None:
    """Put a new folder into the place of the old one, which the backup holds meanwhile.

    RAISES (ValueError): The old state can't be restored after an error.
    """
    backup = backup_of(target)
    moved = False
    try:
        if target.exists():
            # A backup without its folder is the current state, so an old backup is
            # removed only while the folder exists.
            remove(backup)
            os.replace(target, backup)
            moved = True
        os.replace(fresh, target)
    except BaseException:
        if moved:
            with suppress(OSError):
                os.replace(backup, target)
            check_folder(target)
        raise
    with suppress(OSError):
        remove(backup)


def copy_folder(source: Path, target: Path) -> None:
    """Copy the content of a folder. Unlike `shutil.copytree`, the error of a failed
    copy is the error of the file.

    source (Path): The folder to copy. Its links are followed.
    target (Path): An existing folder.
    RAISES (OSError): A file can't be read or written.
    """
    for path in sorted(source.iterdir()):
        if path.is_dir():
            (target / path.name).mkdir(exist_ok=True)
            copy_folder(path, target / path.name)
        else:
            shutil.copy2(path, target / path.name)


def backup_of(folder: Path) -> Path:
    """Return the path that holds the old state while a new one replaces it.

    folder (Path): The folder, or a link to it.
    RETURNS (Path): The sibling `.NAME.genner-backup` of the folder.
    """
    target = _resolved(folder)
    return target.with_name(_hidden_name(target.name, _BACKUP_SUFFIX))


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


def check_new_folder(folder: Path) -> None:
    """Check that a new folder can be written, before the work of computing its content.

    folder (Path): The folder. Its missing parents are created; nothing else changes.
    RAISES (ValueError): The path exists and is not an empty folder.
    RAISES (OSError): The folder can't be written. The error names `folder`.
    """
    check_unused(folder)
    target = _resolved(folder)
    _make_parent(target, folder)
    prefix = _temporary_prefix(target, _FRESH_SUFFIX)
    try:
        fresh = tempfile.mkdtemp(dir=target.parent, prefix=prefix, suffix=_FRESH_SUFFIX)
        os.rmdir(fresh)
    except OSError as error:
        error.filename = str(folder)
        raise


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
            yield number, decode_line(path, number, raw)


def decode_line(path: Path, number: int, raw: bytes) -> str:
    """Decode a line of a file.

    path (Path): The file, for the error message.
    number (int): The number of the line, from 1. A byte order mark at the start of the
        first line is skipped.
    raw (bytes): The line.
    RETURNS (str): The line without its end.
    RAISES (ValueError): The line is not UTF-8.
    """
    try:
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, number, error) from error
    return line.rstrip("\r\n")


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
    start = b""
    if path.is_file():
        with suppress(OSError), path.open("rb") as file:
            start = file.read(8)
    for magic, (kind, command) in _COMPRESSED.items():
        if start.startswith(magic):
            return ValueError(Errors.G574.format(path=path, kind=kind, command=command))
    encoding = "ENCODING"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "UTF-16"
    return ValueError(
        Errors.G510.format(path=path, line=line, reason=error.reason, encoding=encoding)
    )


# JSON from untrusted sources


def parse_json(text: str, unique: bool = False) -> Any:
    """Parse a JSON value from an untrusted source.

    text (str): The value, with any white space around it.
    unique (bool): Whether to refuse an object that has a key twice. Otherwise the last
        value of the key counts.
    RETURNS (Any): The value.
    RAISES (ValueError): The text is not JSON, is nested too deep, or contains a number
        with thousands of digits.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique if unique else None)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return made


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
    """Read the objects of a file: one on each line, or indented over several lines, as
    `jq` writes them. Empty lines are skipped.

    path (Path): The file.
    YIELDS (tuple[int, dict[str, Any]]): The number of the line where the object starts,
        from 1, and the object.
    RAISES (ValueError): A value is not a JSON object.
    """
    for number, text in _value_texts(path):
        yield number, json_object(path, number, text)


# The parts of a line that say how deep the next line is nested. The last alternative is
# a string that does not end on its line, which JSON does not allow.
_JSON_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]|"')


def _value_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the text of each JSON value, with the number of its first line. A value
    that is cut off at the end of its line continues to the line with its last
    bracket."""
    lines = numbered_lines(path)
    for number, line in lines:
        if not line.strip():
            continue
        depth = _nesting(line)
        if depth <= 0 or not _is_cut_off(line):
            yield number, line
            continue
        parts = [line]
        for _, following in lines:
            parts.append(following)
            depth += _nesting(following)
            if depth <= 0:
                break
        # The message about a line that is cut off, and not about the rest of the file.
        yield number, "\n".join(parts) if depth == 0 else line


def _nesting(line: str) -> int:
    """RETURNS (int): The number of brackets that the line opens and does not close."""
    found = [match[0] for match in _JSON_NESTING.finditer(line)]
    return sum((each in "[{") - (each in "]}") for each in found)


def _is_cut_off(line: str) -> bool:
    text = line.strip()
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text)
    except (ValueError, RecursionError):
        return False
    return False


def json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    """Parse a line of a JSONL file.

    path (Path): The file, for the error message.
    number (int): The number of the line, from 1.
    line (str): The line.
    RETURNS (dict[str, Any]): The object.
    RAISES (ValueError): The line is not a JSON object.
    """
    try:
        record = parse_json(line)
    except ValueError as error:
        raise ValueError(
            Errors.G512.format(path=path, line=number, found=error)
        ) from error
    if not isinstance(record, dict):
        found = type(record).__name__
        raise ValueError(Errors.G512.format(path=path, line=number, found=found))
    return record


def json_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a JSON list, or of a file with one object after another.

    path (Path): The file, in UTF-8. A list is parsed object by object and never held
        in memory as a whole.
    YIELDS (tuple[int, dict[str, Any]]): The number of the line where the object starts,
        from 1, and the object.
    RAISES (ValueError): The file has neither form.
    """
    stream = _JsonStream(path)
    stream.skip(_JSON_SPACE)
    if stream.peek() == "[":
        stream.advance()
        yield from _list_items(stream, "{")
    else:
        yield from json_objects(path)


def json_values(path: Path) -> Iterator[tuple[int, int, Any]]:
    """Read the objects and lists in a JSON list, on the lines of a file, or indented
    over several lines.

    path (Path): The file, in UTF-8. A list is parsed value by value.
    YIELDS (tuple[int, int, Any]): The line where the value starts, its number (in a
        list) or its line (otherwise), both from 1, and the value.
    RAISES (ValueError): The file has none of these forms.
    """
    stream = _JsonStream(path)
    stream.skip(_JSON_SPACE)
    if stream.peek() == "[":
        stream.advance()
        stream.skip(_JSON_SPACE)
        if stream.peek() in ("{", "[", "]", ""):
            for number, (line, value) in enumerate(_list_items(stream, "{["), 1):
                yield line, number, value
            return
    for line, text in _value_texts(path):
        try:
            value = parse_json(text)
        except ValueError as error:
            raise ValueError(
                Errors.G512.format(path=path, line=line, found=error)
            ) from error
        if not isinstance(value, (dict, list)):
            found = type(value).__name__
            raise ValueError(Errors.G512.format(path=path, line=line, found=found))
        yield line, line, value


def _list_items(stream: "_JsonStream", starts: str) -> Iterator[tuple[int, Any]]:
    """Yield the items of a list whose bracket is consumed. Each item starts with one
    of the characters `starts`."""
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
        if not stream.peek() or stream.peek() not in starts:
            raise stream.error(f"expected an object, found {stream.upcoming()}")
        yield stream.line, stream.parse_value()
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

    def parse_value(self) -> Any:
        """Consume the object or list that starts at the current position."""
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
            return value

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
