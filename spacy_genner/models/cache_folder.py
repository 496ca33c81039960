"""The folder for what is computed once per machine, and safe writes into it."""

import os
import sys
import tempfile
from pathlib import Path

CACHE_VARIABLE = "SPACY_GENNER_CACHE"


def cache_folder() -> Path:
    """The folder for converted bases and checksums; it need not exist.

    `$SPACY_GENNER_CACHE` if that is set, else `spacy-genner` in the user's cache
    folder: `$XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches` on macOS,
    `%LOCALAPPDATA%` on Windows.

    RETURNS (Path): The folder.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "spacy-genner"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new, nothing between.

    path (Path): The file; its folder is made where it is missing.
    data (bytes): What it is to hold.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
