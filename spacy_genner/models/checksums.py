"""Checksums of weights that cost their seconds only once.

The SHA-256 of a large file is kept in the cache folder under its path, size and
time of change. Files of the hub's cache need not be read at all: those kept as
large files are named after their SHA-256.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from .cache_folder import cache_folder, write_atomic

_BLOB_NAME = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 22
# Bytes: a smaller file is read in less time than a note of it would be worth.
SMALL = 1 << 24


def folder_checksum(folder: Path) -> str:
    """The checksum of a base in a folder: of its safetensors files and their names.

    folder (Path): Folder of a base.
    RETURNS (str): SHA-256 in hexadecimal, the same wherever the folder is.
    """
    digest = hashlib.sha256()
    for path in weight_files(folder):
        digest.update(f"{cached_sha256(path)}  {path.name}\n".encode())
    return digest.hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers reads the weights of a folder from.

    folder (Path): Folder of a base.
    RETURNS (list[Path]): `model.safetensors`, or the shards that its index lists,
        sorted by name. Other copies of the weights in the folder do not count.
        Empty where a file is missing.
    """
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    try:
        index = json.loads((folder / f"{single.name}.index.json").read_text("utf8"))
        shards = [folder / name for name in sorted(set(index["weight_map"].values()))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return shards if all(shard.is_file() for shard in shards) else []


def cached_sha256(path: Path) -> str:
    """The SHA-256 of a file, read again only when its size or time has changed.

    path (Path): The file.
    RETURNS (str): SHA-256 in hexadecimal.
    """
    real = path.resolve()
    if path.is_symlink() and _BLOB_NAME.fullmatch(real.name):
        return real.name
    stat = real.stat()
    if stat.st_size < SMALL:
        return joined_sha256([real])
    key = hashlib.sha256(os.fsencode(real)).hexdigest()
    note = cache_folder() / "checksums" / f"{key}.json"
    wanted = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    try:
        kept = json.loads(note.read_text(encoding="utf8"))
        if all(kept[name] == value for name, value in wanted.items()):
            return str(kept["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    checksum = joined_sha256([real])
    note_text = json.dumps({"path": str(real), "sha256": checksum, **wanted})
    try:
        write_atomic(note, note_text.encode("utf8"))
    except OSError:
        # A cache that cannot be written costs time, nothing else.
        pass
    return checksum


def joined_sha256(paths: Iterable[Path]) -> str:
    """The SHA-256 of files put one after the other.

    paths (Iterable[Path]): The files, in order.
    RETURNS (str): SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
