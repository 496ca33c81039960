"""Read and write files: atomic files and folders, text lines, untrusted JSON."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EISDIR
from pathlib import Path
from typing import Any

from .errors import Errors


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Replace a file by what the block writes, all or nothing.

    path (Path): The file to write; its folder is made where it is missing.
    YIELDS (Path): An empty file beside it. When the block ends without an error it
        becomes `path`; otherwise it is removed.
    RAISES (OSError): It can't be written; the error names `path`.
    """
    fresh = _file_beside(path)
    try:
        # mkstemp makes it for the owner alone.
        umask = os.umask(0)
        os.umask(umask)
        fresh.chmod(0o666 & ~umask)
        yield fresh
        os.replace(fresh, path)
    except BaseException as error:
        fresh.unlink(missing_ok=True)
        # A write that fails names no file, and the one beside it tells a user nothing.
        if isinstance(error, OSError) and error.filename in (None, str(fresh)):
            error.filename = str(path)
        raise


def check_place(path: Path) -> None:
    """Check that a file can be written, before the work that it takes to make it.

    path (Path): The file; its folder is made where it is missing, and it is as it was.
    RAISES (OSError): It can't be written; the error names `path`.
    """
    _file_beside(path).unlink()


def _file_beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    try:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".new"
        )
    except OSError as error:
        # It names a file that the user never named.
        error.filename = str(path)
        raise
    os.close(handle)
    return Path(name)


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs, all or nothing.

    path (Path): The file.
    content (Any): What `json.dumps` takes.
    RAISES (OSError): It can't be written; the error names `path`.
    """
    with replaced_file(path) as fresh:
        fresh.write_text(json_text(content), encoding="utf8")


def json_text(content: Any) -> str:
    """RETURNS (str): JSON with a line a value, and a line break at its end."""
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


# Names that no user gives to a folder: what has them is the project's own.
_BACKUP_SUFFIX = ".genner-backup"
_FRESH_SUFFIX = ".genner-new"


def backup_of(folder: Path) -> Path:
    """Where the old state of a folder is while a new one takes its place.

    folder (Path): The folder.
    RETURNS (Path): Its sibling `.NAME.genner-backup`.
    """
    return folder.with_name(f".{folder.name}{_BACKUP_SUFFIX}")


def check_unused(folder: Path) -> None:
    """Check that a folder can be written without taking anything's place.

    folder (Path): The folder.
    RAISES (ValueError): Something is there, and it is no empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(Errors.G261.format(folder=folder))


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Replace a folder by what the block writes, all or nothing.

    folder (Path): The folder to write; its parent is made where it is missing.
    YIELDS (Path): An empty folder beside it. When the block ends without an error
        it becomes `folder`; otherwise it is removed.
    RAISES (OSError): It can't be written, with a name in `folder` as `filename`.
    RAISES (ValueError): The old state had stepped aside, and can't be put back; the
        message names the backup.
    """
    backup = backup_of(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    fresh = Path(
        tempfile.mkdtemp(
            dir=folder.parent, prefix=f".{folder.name}.", suffix=_FRESH_SUFFIX
        )
    )
    aside = False
    try:
        # mkdtemp makes it for the owner alone.
        umask = os.umask(0)
        os.umask(umask)
        fresh.chmod(0o777 & ~umask)
        yield fresh
        if folder.exists():
            # Only now: as long as the folder is missing, the backup is the state.
            if backup.exists():
                shutil.rmtree(backup)
            os.replace(folder, backup)
            aside = True
        os.replace(fresh, folder)
    except BaseException as error:
        if aside:
            with suppress(OSError):
                os.replace(backup, folder)
        shutil.rmtree(fresh, ignore_errors=True)
        if isinstance(error, OSError):
            _name(error, fresh, folder)
        if aside:
            check_folder(folder)
        raise
    shutil.rmtree(backup, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove the unfinished states that killed saves of a folder have left."""
    # What tempfile puts between the two is 8 characters, without a dot.
    name = re.compile(rf"\.{re.escape(folder.name)}\.\w{{8}}{re.escape(_FRESH_SUFFIX)}")
    for found in folder.parent.iterdir():
        if name.fullmatch(found.name):
            shutil.rmtree(found, ignore_errors=True)


def _name(error: OSError, fresh: Path, folder: Path) -> None:
    """Give an error the name that the user knows. A write to a full disk names no
    file, and the folder beside is gone."""
    found = error.filename
    if found is None and error.errno is not None:
        error.filename = str(folder)
    elif isinstance(found, (str, os.PathLike)) and Path(found).is_relative_to(fresh):
        error.filename = str(folder / Path(found).relative_to(fresh))


def check_folder(folder: Path) -> None:
    """Report a folder that is missing because a save was cut off.

    folder (Path): The folder to be read.
    RAISES (ValueError): If it is not there and its backup is.
    """
    backup = backup_of(folder)
    if not folder.exists() and backup.exists():
        raise ValueError(Errors.G251.format(folder=folder, backup=backup))


# Whatever the project reads has a few levels. A value that is nested much deeper could
# be read, and then not be written or shown.
MOST_LEVELS = 100

_DECODER = json.JSONDecoder()


def parse_json(text: str) -> Any:
    """Read a JSON value.

    text (str): The value, and white space around it.
    RETURNS (Any): The value.
    RAISES (ValueError): The text is no JSON, is nested too deep, or holds a number of
        thousands of digits.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    _check_levels(value)
    return value


def parse_json_at(text: str, at: int) -> tuple[Any, int]:
    """Read the JSON value at a place of a text.

    text (str): The text.
    at (int): Where the value starts.
    RETURNS (Tuple[Any, int]): The value, and where it ends.
    RAISES (JSONDecodeError): There is no JSON, or only a part of it.
    RAISES (ValueError): It is nested too deep, or holds a number of thousands of
        digits.
    """
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise _too_deep() from None
    _check_levels(value)
    return value, end


def _check_levels(value: Any) -> None:
    level = [value]
    for _ in range(MOST_LEVELS + 1):
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
    return ValueError(f"it is nested deeper than {MOST_LEVELS} levels")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read a file line by line. Only line feeds part lines, as in JSONL: a text may
    hold other separators.

    path (Path): The file; a byte order mark at its start is left out.
    YIELDS (Tuple[int, str]): The line's number from 1, and the line without its end.
    RAISES (ValueError): The file is not UTF-8.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    Errors.G510.format(path=path, line=number, reason=error.reason)
                ) from error
            yield number, line.rstrip("\r\n")


def read_text(path: Path) -> str:
    """Read a file in whole, to the character: line ends and a byte order mark stay,
    as offsets may count them.

    path (Path): The file.
    RETURNS (str): Its text.
    RAISES (ValueError): The file is not UTF-8.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            Errors.G510.format(path=path, line=line, reason=error.reason)
        ) from error
