"""Write a file so that a reader never meets half of it."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EISDIR
from pathlib import Path
from typing import Any


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
