"""GGUF files as base models: a file, a split file, or a file of the hub.

llama.cpp, Ollama and LM Studio keep models in GGUF files. A large one may be split into
parts, `NAME-00001-of-00003.gguf`, each of which is a GGUF file of its own. A file of
the hub is named `ORG/REPO:FILE.gguf`. The files are converted once, into the same cache
as the weights of packages. The name of the cached folder is made of the checksum, so
that a file that has changed is converted again, and a file that has moved is not.
"""

import hashlib
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import Errors
from .gguf import LAYOUT, cached_sha256, publish_once
from .gguf_conversion import convert_gguf

ENDING = ".gguf"
_MAGIC = b"GGUF"

_SPLIT = re.compile(
    r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE
)
_HUB_FILE = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*):(?P<file>[^:]+)"
)
# More files of a folder are not listed in a message.
_LISTED = 12


class HubFile(NamedTuple):
    """A GGUF file of the hub.

    repo (str): The repository.
    file (str): The path of the file in the repository. A split file is named by any of
        its parts.
    """

    repo: str
    file: str

    @property
    def files(self) -> list[str]:
        """RETURNS (list[str]): The paths of all parts, in order."""
        path = PurePosixPath(self.file)
        return [str(path.with_name(name)) for name in part_names(path.name)]


def is_gguf_name(name: str) -> bool:
    """Check whether the name of a base has the form of a GGUF file.

    name (str): The name of a base.
    RETURNS (bool): Whether it ends with `.gguf`.
    """
    return name.lower().endswith(ENDING)


def is_gguf_file(path: Path) -> bool:
    """Check whether a path is a GGUF file, whatever its name. Ollama's have no ending.

    path (Path): The path.
    RETURNS (bool): Whether it is a file that begins as GGUF does.
    """
    try:
        # Opening a pipe would wait for its writer.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def parse_hub_file(name: str) -> HubFile | None:
    """Parse the name of a base that is a file of the hub.

    name (str): The name of a base.
    RETURNS (HubFile | None): The file; None if the name has another form.
    RAISES (ValueError): The name has the form `ORG/REPO:FILE`, but the file is no path
        of a GGUF file in the repository.
    """
    match = _HUB_FILE.fullmatch(name)
    if match is None:
        return None
    path = PurePosixPath(match["file"])
    is_inside = not path.is_absolute() and ".." not in path.parts
    if not is_gguf_name(path.name) or not is_inside or "\\" in match["file"]:
        raise ValueError(Errors.G353.format(name=name, found="", repo=match["repo"]))
    return HubFile(match["repo"], match["file"])


def part_names(name: str) -> list[str]:
    """List the files that make up a GGUF file.

    name (str): The name of the file, or of any part of a split file.
    RETURNS (list[str]): The names of all parts in order, or the name alone.
    RAISES (ValueError): The number of the part is not one of its parts.
    """
    match = _SPLIT.fullmatch(name)
    if match is None:
        return [name]
    number, count = int(match["number"]), int(match["count"])
    if not 1 <= number <= count:
        raise ValueError(Errors.G352.format(found=name, expected=count))
    ending = name[len(name) - len(ENDING) :]
    stem = match["stem"]
    return [f"{stem}-{part:05d}-of-{count:05d}{ending}" for part in range(1, count + 1)]


def find_gguf_parts(path: Path) -> tuple[Path, ...]:
    """Find the files of a local GGUF file.

    path (Path): The file, or any part of a split file.
    RETURNS (tuple[Path, ...]): The parts in order, or the file alone.
    RAISES (ValueError): A file is missing.
    """
    names = part_names(path.name)
    parts = tuple(path.with_name(name) for name in names)
    missing = [part.name for part in parts if not part.is_file()]
    if not missing:
        return parts
    if len(missing) < len(parts):
        found = f"{', '.join(missing[:_LISTED])} missing in {path.parent}"
        raise ValueError(Errors.G352.format(found=found, expected=len(parts)))
    there: list[str] = []
    with suppress(OSError):
        there = sorted(
            entry.name for entry in path.parent.iterdir() if is_gguf_name(entry.name)
        )
    listed = ", ".join(there[:_LISTED]) or "none"
    raise ValueError(Errors.G350.format(path=path, folder=path.parent, found=listed))


def gguf_checksum(parts: tuple[Path, ...]) -> str:
    """Compute the checksum of a GGUF file.

    parts (tuple[Path, ...]): The file, or its parts in order.
    RETURNS (str): The SHA-256 of the file, in hexadecimal. For several parts, that of
        the list of their checksums, which does not depend on their names.
    """
    sums = [cached_sha256(part) for part in parts]
    if len(sums) == 1:
        return sums[0]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def converted_gguf(parts: tuple[Path, ...]) -> tuple[Path, str]:
    """Get the folder of a converted file from the cache; convert it the first time.

    parts (tuple[Path, ...]): The file, or its parts in order.
    RETURNS (tuple[Path, str]): A folder with config.json, model.safetensors and
        tokenizer files, and the checksum of the GGUF file.
    RAISES (ValueError): The file can't be read or converted, it changes meanwhile, or
        the cache can't be written.
    """
    try:
        before = [_state(part) for part in parts]
        checksum = gguf_checksum(parts)
    except OSError as err:
        raise ValueError(Errors.G221.format(file=parts[0].name, reason=err)) from err

    def build(folder: Path) -> None:
        convert_gguf(parts, folder)
        if [_state(part) for part in parts] != before:
            raise ValueError(Errors.G357.format(file=parts[0]))

    key = f"gguf-{checksum[:32]}-{LAYOUT}"
    required = ("config.json", "tokenizer_config.json")
    return publish_once(key, build, {"sha256": checksum}, required), checksum


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
