"""Write files atomically.

An atomic write fills a temporary sibling, which then replaces the old file. A process
that is killed at any point leaves the old content or the new content. Symbolic links
are followed, so that a link stays and its target is replaced. Processes may write the
same path at the same time: the last one wins.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EISDIR
from pathlib import Path
from typing import IO, Any

from ..errors import Errors
from .temporary import (
    create_locked,
    make_parent,
    remove_leftovers,
    rename_error,
    resolved,
    set_default_mode,
    temporary_prefix,
    unlock,
)

_FILE_SUFFIX = ".new"


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
    target = resolved(path)
    fresh, lock = _file_beside(target, path, sweep)
    try:
        set_default_mode(fresh, 0o666)
        yield fresh
        os.replace(fresh, target)
    except BaseException as error:
        fresh.unlink(missing_ok=True)
        if isinstance(error, OSError):
            rename_error(error, fresh, path)
        raise
    finally:
        unlock(lock)


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
    fresh, lock = _file_beside(resolved(path), path)
    fresh.unlink()
    unlock(lock)


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
    make_parent(target, path)
    if target.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    if target.exists() and not target.is_file():
        # A file in the place of a pipe or of /dev/null would break its other users.
        raise ValueError(Errors.G575.format(path=path))
    if sweep:
        remove_leftovers(target, _FILE_SUFFIX)

    def create() -> Path:
        try:
            handle, name = tempfile.mkstemp(
                dir=target.parent,
                prefix=temporary_prefix(target, _FILE_SUFFIX),
                suffix=_FILE_SUFFIX,
            )
        except OSError as error:
            # The error names the temporary file, which the user never named.
            error.filename = str(path)
            raise
        os.close(handle)
        return Path(name)

    return create_locked(create)
