"""The files that belong to a saved pipeline, and what in them must not be shared.

Only these files are packaged and sent. Weights of a base, notes, texts and keys that
lie in the same folder are not among them.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from spacy.util import load_config
from thinc.api import Config

from ..errors import Errors
from ..io import parse_json, read_text
from ..models.adapter_files import CONFIG_FILE as ADAPTER_CONFIG
from ..models.adapter_files import WEIGHTS_FILE
from ..models.base_model import is_pip_name
from ..models.licenses import NOTICE_FILE, SOURCES_FILE, hub_base
from ..pipeline.loading import FACTORY
from ..pipeline.state import STATE_FILE

CARD = "README.md"
CONFIG = "config.cfg"
META = "meta.json"
# Files beside the config that readers of a pipeline need.
_DOCUMENTS = (CARD, "LICENSE", SOURCES_FILE, NOTICE_FILE)
_TOKENIZER = "tokenizer"
_VOCAB = "vocab"
# All that a generative component saves. Base weights have other names.
_COMPONENT_FILES = (
    STATE_FILE,
    "draft_head.safetensors",
    f"adapter/{ADAPTER_CONFIG}",
    f"adapter/{WEIGHTS_FILE}",
)
# Code and pickles, which loading from the hub refuses.
_REFUSED = (".py", ".pyc", ".so", ".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".gguf")

_SECRET_NAME = re.compile(
    r"(?:^|[_\-.])(?:api_?key|access_?key|auth|authorization|token|secret|password|passwd"
    r"|credentials?)$",
    re.IGNORECASE,
)
# Keys of well-known services, private keys, and passwords in addresses.
_SECRET_VALUE = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bgithub_pat_\w{20,}|\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{30,}"
    r"|\bxox[abprs]-[\w-]{10,}|\bBearer +[\w.~+/=-]{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\b[a-z][a-z0-9+.-]*://[^\s/:@\"']+:[^\s/@\"']+@"
)
_TEXT_FILES = (".cfg", ".json", ".jsonl", ".md", "")
# In bytes. Larger files hold weights or a vocabulary.
_TEXT_SIZE = 1 << 22


@dataclass(frozen=True)
class PipelineFiles:
    """The files of a saved pipeline.

    folder (Path): The folder of config.cfg.
    config (Config): The config, with its variables replaced.
    meta (dict[str, Any]): The content of meta.json.
    files (list[PurePosixPath]): The files that belong to the pipeline, relative to the
        folder and sorted.
    left_out (list[PurePosixPath]): All other files.
    """

    folder: Path
    config: Config
    meta: dict[str, Any]
    files: list[PurePosixPath]
    left_out: list[PurePosixPath]

    def size(self, path: PurePosixPath) -> int:
        """RETURNS (int): The size of a file in bytes."""
        return (self.folder / path).stat().st_size

    @property
    def components(self) -> dict[str, str]:
        """The generative components, with the names of their bases."""
        return {
            name: str(settings.get("model", {}).get("name", ""))
            for name, settings in self.config["components"].items()
            if settings.get("factory") == FACTORY
        }

    @property
    def starts(self) -> list[str]:
        """The adapters that training started from, without those of new adapters."""
        found = (
            settings.get("model", {}).get("adapter")
            for settings in self.config["components"].values()
            if settings.get("factory") == FACTORY
        )
        return list(dict.fromkeys(str(adapter) for adapter in found if adapter))

    @property
    def local_bases(self) -> dict[str, str]:
        """The generative components whose bases others can't get."""
        return {
            name: base
            for name, base in self.components.items()
            if not is_pip_name(base) and (hub_base(base) is None or Path(base).exists())
        }


def read_pipeline(folder: Path) -> PipelineFiles:
    """Find the files of a saved pipeline.

    folder (Path): The folder of the pipeline, or of a package that `genner package`
        made.
    RETURNS (PipelineFiles): The files.
    RAISES (ValueError): There is no pipeline, or one of its files is a link to a file
        elsewhere.
    """
    place = _data_folder(folder)
    for name in (CONFIG, META):
        if not (place / name).is_file():
            raise ValueError(Errors.G906.format(path=folder, missing=name))
    config = load_config(place / CONFIG, interpolate=True)
    meta = parse_json(read_text(place / META))
    if not isinstance(meta, dict):
        raise ValueError(
            Errors.G906.format(path=folder, missing=f"an object in {META}")
        )
    factories = {
        name: settings.get("factory") for name, settings in config["components"].items()
    }
    files: list[PurePosixPath] = []
    left_out: list[PurePosixPath] = []
    root = place.resolve()
    for path in sorted(place.rglob("*")):
        if not path.is_file():
            continue
        relative = PurePosixPath(path.relative_to(place).as_posix())
        if not _belongs(relative, factories):
            left_out.append(relative)
        elif not path.resolve().is_relative_to(root) and not _in_hub_cache(place, path):
            raise ValueError(Errors.G918.format(path=path))
        else:
            files.append(relative)
    return PipelineFiles(place, config, meta, files, left_out)


def _data_folder(folder: Path) -> Path:
    """The folder of the pipeline in a package, which has meta.json at its root too."""
    if (folder / CONFIG).is_file():
        return folder
    found = [path.parent for path in folder.glob(f"*/*/{CONFIG}")]
    return found[0] if len(found) == 1 else folder


def _in_hub_cache(folder: Path, path: Path) -> bool:
    """Whether a file is a link to a blob of the same repository in the hub's cache."""
    return path.resolve().parent == (folder.parent.parent / "blobs").resolve()


def _belongs(path: PurePosixPath, factories: dict[str, Any]) -> bool:
    top = path.parts[0]
    if any(part.startswith(".") for part in path.parts) or path.suffix in _REFUSED:
        return False
    if len(path.parts) == 1 and top in (CONFIG, META, _TOKENIZER, *_DOCUMENTS):
        return True
    if top == _VOCAB:
        return True
    for name, factory in factories.items():
        if top == name and factory == FACTORY:
            return "/".join(path.parts[1:]) in _COMPONENT_FILES
        # Components without a folder save NAME, NAME.json or NAME.jsonl.
        if top == name or (len(path.parts) == 1 and path.stem == name):
            return True
    return False


def check_secrets(pipeline: PipelineFiles) -> None:
    """Check that no file of a pipeline contains a secret.

    pipeline (PipelineFiles): The pipeline.
    RAISES (ValueError): There is one. The message names its place and not its value.
    """
    for where in _secret_settings(pipeline.config, ()):
        path = pipeline.folder / CONFIG
        raise ValueError(Errors.G912.format(path=path, where=f"the setting {where}"))
    for where in _secret_settings(pipeline.meta, ()):
        path = pipeline.folder / META
        raise ValueError(Errors.G912.format(path=path, where=f"the entry {where}"))
    for relative in pipeline.files:
        path = pipeline.folder / relative
        is_vocab = relative.parts[0] in (_VOCAB, _TOKENIZER)
        if is_vocab or relative.suffix not in _TEXT_FILES:
            continue
        if path.stat().st_size > _TEXT_SIZE:
            continue
        text = path.read_bytes().decode("utf8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if _SECRET_VALUE.search(line):
                raise ValueError(
                    Errors.G912.format(path=path, where=f"a key in line {number}")
                )


def _secret_settings(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and inner and _SECRET_NAME.search(str(key)):
                yield ".".join((*path, str(key)))
            yield from _secret_settings(inner, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from _secret_settings(inner, (*path, str(number)))


def machine_paths(config: Any) -> list[str]:
    """Find the settings of a config with absolute paths.

    config (Config): The config.
    RETURNS (list[str]): Their names.
    """
    return sorted(_path_settings(config, ()))


def _path_settings(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _path_settings(inner, (*path, str(key)))
    elif isinstance(value, str):
        home = value.startswith("~")
        windows = re.match(r"[A-Za-z]:[\\/]", value) is not None
        if (os.path.isabs(value) and len(value) > 1) or home or windows:
            yield ".".join(path)
