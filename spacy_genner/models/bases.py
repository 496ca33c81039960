"""Find a base model by its name, without loading it.

A name is one of three kinds: `pip:PACKAGE` (weights in GGUF that an installed
package carries), a folder, or a hub id. No kind runs code that comes with the
weights, and none reads pickled weights.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import Errors
from .checksums import folder_checksum, weight_files
from .gguf import converted_folder
from .packages import find_package_gguf
from .settings import PIP_PREFIX, check_name

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
# What a base needs; other formats of the same weights stay on the hub.
_HUB_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
_HUB_IGNORED = ["consolidated*", "original/*", "onnx/*", "metal/*", "*/*"]


@dataclass(frozen=True)
class BaseSource:
    """Where the files of a base model are.

    name (str): The name as the config gives it.
    revision (str | None): The revision as the config gives it.
    folder (Path): Folder with config.json, safetensors and tokenizer files.
    checksum (str): SHA-256 of the weights, in hexadecimal. For `pip:` names that
        of the GGUF file, for the others that of the list of the safetensors
        files and their checksums. It does not depend on the dtype they are used in.
    requirement (str | None): For `pip:` names the requirement that installs the
        weights, `package>=version`.
    """

    name: str
    revision: str | None
    folder: Path
    checksum: str
    requirement: str | None = None


def is_pip_name(name: str) -> bool:
    """Whether a base's name is of the form `pip:PACKAGE`.

    name (str): The name of a base.
    RETURNS (bool): True for a name that begins with `pip:`.
    """
    return name.startswith(PIP_PREFIX)


def base_requirement(name: str) -> str | None:
    """The requirement a pipeline with this base must list, if there is one.

    name (str): The name of a base.
    RETURNS (str | None): `package>=version` for a `pip:` name, the package alone
        where it is not installed here, None for another name.
    """
    if not is_pip_name(name):
        return None
    package = name[len(PIP_PREFIX) :]
    try:
        return find_package_gguf(package).requirement
    except ValueError:
        return package


def resolve_base(name: str, revision: str | None = None) -> BaseSource:
    """Find the folder of a base model; convert or download it where it is needed.

    name (str): `pip:PACKAGE`, a folder, or a hub id.
    revision (str | None): Branch, tag or commit of a hub id; for a `pip:` name
        the version that must be installed; not for folders.
    RETURNS (BaseSource): The folder and what identifies the weights.
    RAISES (ValueError): If there is no such base, or if it is damaged.
    """
    if is_pip_name(check_name(name)):
        return _resolve_package(name, revision)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ValueError(Errors.G201.format(name=name, revision=revision))
        return _checked(name, None, folder.resolve())
    if not _HUB_ID.fullmatch(name):
        raise ValueError(Errors.G202.format(name=name))
    return _checked(name, revision, _resolve_hub(name, revision))


def _resolve_package(name: str, revision: str | None) -> BaseSource:
    found = find_package_gguf(name[len(PIP_PREFIX) :])
    if revision is not None and revision != found.version:
        raise ValueError(
            Errors.G203.format(
                name=name,
                package=found.package,
                version=found.version,
                revision=revision,
            )
        )
    checksum = found.checksum
    folder = converted_folder(found.parts, found.package, found.version, checksum)
    return BaseSource(name, revision, folder, checksum, found.requirement)


def _checked(name: str, revision: str | None, folder: Path) -> BaseSource:
    if not _complete(folder):
        found = sorted(os.listdir(folder))[:12]
        raise ValueError(
            Errors.G204.format(name=name, folder=folder, found=", ".join(found))
        )
    return BaseSource(name, revision, folder, folder_checksum(folder))


def _complete(folder: Path) -> bool:
    return (folder / "config.json").is_file() and bool(weight_files(folder))


def _resolve_hub(name: str, revision: str | None) -> Path:
    """The snapshot in the local cache, or a download where it has none.

    A snapshot that is there is used as it is, so that a pipeline neither needs
    the network nor changes when the hub does; `hf download` brings it up to date.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
        if _complete(folder):
            return folder
    except LocalEntryNotFoundError:
        pass
    command = f"hf download {name}"
    if revision is not None:
        command += f" --revision {revision}"
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=_HUB_FILES,
                ignore_patterns=_HUB_IGNORED,
            )
        )
    except GatedRepoError as err:
        raise ValueError(Errors.G206.format(name=name, command=command)) from err
    except (RepositoryNotFoundError, RevisionNotFoundError) as err:
        raise ValueError(
            Errors.G207.format(name=name, revision=revision or "main", command=command)
        ) from err
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as err:
        raise ValueError(
            Errors.G205.format(name=name, command=command, reason=err)
        ) from err
