"""Find GGUF weights that an installed package carries, without importing it.

The weights are one `.gguf` file, or `.gguf.partNN` files that follow each other
byte by byte, in the package itself or in the packages it requires. A file
`SHA256SUMS` beside them names the checksum of the whole.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..errors import Errors
from .checksums import cached_sha256, joined_sha256

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
