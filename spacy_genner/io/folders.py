"""Write folders atomically.

As for files, a temporary sibling replaces the old folder, which waits in a backup
meanwhile.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from pathlib import Path

from ..errors import Errors
from .temporary import (
    create_locked,
    hidden_name,
    make_parent,
    remove,
    remove_leftovers,
    rename_error,
    resolved,
    set_default_mode,
    swap_lock,
    temporary_prefix,
    unlock,
)

# Users give no such names to their folders, so these folders are the project's own.
_BACKUP_SUFFIX = ".genner-backup"
_FRESH_SUFFIX = ".genner-new"


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
    target = resolved(folder)
    make_parent(target, folder)
    # One look: another process may move the folder away between two.
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(target.stat().st_mode):
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(folder))
    remove_leftovers(target, _FRESH_SUFFIX)
    fresh, lock = create_locked(lambda: _make_fresh(target, folder))
    try:
        set_default_mode(fresh, 0o777)
        yield fresh
        with swap_lock(target):
            _swap(fresh, target)
    except BaseException as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if isinstance(error, OSError):
            rename_error(error, fresh, folder)
        raise
    finally:
        unlock(lock)


def _make_fresh(target: Path, folder: Path) -> Path:
    """Create a temporary sibling of a folder. Errors name `folder`, as the user never
    named the sibling."""
    prefix = temporary_prefix(target, _FRESH_SUFFIX)
    try:
        fresh = tempfile.mkdtemp(dir=target.parent, prefix=prefix, suffix=_FRESH_SUFFIX)
    except OSError as error:
        error.filename = str(folder)
        raise
    return Path(fresh)


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
    target = resolved(folder)
    return target.with_name(hidden_name(target.name, _BACKUP_SUFFIX))


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
    target = resolved(folder)
    make_parent(target, folder)
    _make_fresh(target, folder).rmdir()
