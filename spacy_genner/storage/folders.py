"""Write a folder so that a kill at any moment loses nothing.

The new state is written beside the old one, the old one steps aside as a backup,
the new one takes its place, the backup goes. A reader finds the old state, the new
one, or (between the two renames) none and the backup, which `check_folder` reports.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import Errors

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
