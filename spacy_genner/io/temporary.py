"""Temporary siblings of the files and folders that are written.

A sibling has a hidden name and a lock, so that the next write can tell the leftovers of
a killed process from the work of a running one, and remove them.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, ELOOP, ENOSPC, ENOTDIR
from pathlib import Path
from time import time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Users give no such name to their files, so this file is the project's own.
_LOCK_SUFFIX = ".genner-lock"
# The number of characters that `tempfile` inserts, none of which is a dot.
_RANDOM = 8
# The longest name of a file in bytes, on all usual file systems.
_MAX_NAME = 255
# The age in seconds of a temporary sibling that is removed although the file system has
# no locks.
_ABANDONED_AGE = 86400.0


def resolved(path: Path) -> Path:
    """Follow the links of a path, so that a link stays and its target is replaced.

    path (Path): The path.
    RETURNS (Path): The target, which need not exist.
    RAISES (OSError): The links lead in a circle. The error names `path`.
    """
    target = Path(os.path.realpath(path))
    # `realpath` keeps the links of a circle, which a file must not replace.
    if any(each.is_symlink() for each in (target, *target.parents)):
        raise OSError(ELOOP, os.strerror(ELOOP), str(path))
    return target


def make_parent(target: Path, path: Path) -> None:
    """Create the missing folders above a target.

    target (Path): The file or folder to write.
    path (Path): The name that the user gave it, for errors.
    RAISES (OSError): A folder can't be created.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        parent = next(each for each in target.parents if each.exists())
        reason = os.strerror(ENOTDIR)
        raise NotADirectoryError(ENOTDIR, reason, str(parent)) from None
    except OSError as error:
        error.filename = str(path)
        raise


def hidden_name(name: str, suffix: str, room: int = 0) -> str:
    """Make the name of a hidden sibling.

    name (str): The name of the file or folder.
    suffix (str): The end of the sibling's name.
    room (int): The number of bytes that will be added.
    RETURNS (str): The name. If it would be too long, the first characters of `name` and
        a hash take the place of `name`.
    """
    raw = os.fsencode(name)
    if len(raw) + len(suffix) + room + 1 > _MAX_NAME:
        digest = hashlib.sha256(raw).hexdigest()[:16]
        name = f"{raw[:150].decode(errors='ignore')}-{digest}"
    return f".{name}{suffix}"


def temporary_prefix(target: Path, suffix: str) -> str:
    """Make the start of the names of temporary siblings.

    target (Path): The file or folder to write.
    suffix (str): The end of their names.
    RETURNS (str): The start, to which `tempfile` adds random characters and the suffix.
    """
    return hidden_name(target.name, ".", _RANDOM + len(suffix))


def set_default_mode(path: Path, mode: int) -> None:
    """Apply the umask, as `tempfile` restricts its files and folders to the owner.

    path (Path): The file or folder.
    mode (int): The mode without the umask.
    """
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)


def create_locked(create: Callable[[], Path]) -> tuple[Path, int | None]:
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


def unlock(lock: int | None) -> None:
    """Release the lock of a temporary sibling.

    lock (int | None): The descriptor of `create_locked`.
    """
    if lock is not None:
        os.close(lock)


@contextmanager
def swap_lock(target: Path) -> Iterator[None]:
    """Let one process at a time put a new folder into its place. The file of the lock
    exists only meanwhile.

    target (Path): The folder to replace.
    """
    path = target.with_name(hidden_name(target.name, _LOCK_SUFFIX))
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


def remove_leftovers(target: Path, suffix: str) -> None:
    """Remove the unfinished siblings that killed processes left.

    target (Path): The file or folder to write.
    suffix (str): The end of their names.
    """
    prefix = re.escape(temporary_prefix(target, suffix))
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
                unlock(lock)
                lock = None
        if lock is None and not path.is_symlink():
            if time() - path.stat().st_mtime < _ABANDONED_AGE:
                return
        remove(path)
    finally:
        unlock(lock)


def remove(path: Path) -> None:
    """Remove a file or a folder with its content. A link is removed and not followed.

    path (Path): The path, which need not exist.
    RAISES (OSError): The path can't be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def rename_error(error: OSError, fresh: Path, path: Path) -> None:
    """Replace the temporary name in an error by the name that the user knows. The error
    of a full disk names no file, or the file that is copied.

    error (OSError): The error, which is changed.
    fresh (Path): The temporary sibling.
    path (Path): The file or folder that it replaces.
    """
    for found in (error.filename, error.filename2):
        if isinstance(found, (str, os.PathLike)) and Path(found).is_relative_to(fresh):
            error.filename = str(path / Path(found).relative_to(fresh))
            error.filename2 = None
            return
    full = error.errno in (ENOSPC, EDQUOT)
    if full or (error.filename is None and error.errno is not None):
        error.filename, error.filename2 = str(path), None
