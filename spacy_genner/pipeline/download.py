"""Pipelines of the Hugging Face hub: their names, their files, and what they may do.

A pipeline from the hub is untrusted. Files with code or pickles are not downloaded, and
the config may only name functions of spaCy and of this package that keep texts in this
process. The folder that `hf download` makes is loaded without these checks.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from catalogue import RegistryError
from spacy.util import load_config, registry, walk_dict

from ..errors import Errors
from ..models.base_model import hub_snapshot

_HUB_NAME = re.compile(
    r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?:@([^\s@]+))?", re.ASCII
)
_CONFIG_FILE = "config.cfg"
_META_FILE = "meta.json"
_STRINGS_FILE = "vocab/strings.json"
# Code, pickles and archives, which a pipeline never needs, and hidden files.
_IGNORED = [
    *("*.py", "*.pyc", "*.pyd", "*.so", "*.dll", "*.dylib", "*.sh", "*.ipynb"),
    *("*.pkl", "*.pickle", "*.joblib", "*.pt", "*.pth", "*.ckpt", "*.npz"),
    *("*.whl", "*.zip", "*.tar", "*.gz", "*.tgz", "*.gguf", ".*", "*/.*"),
]
# The packages whose functions a config from the hub may use.
_TRUSTED = {"spacy", "spacy_genner", "spacy_legacy", "srsly", "thinc"}
# Functions that send texts to an address of the config.
_SENDERS = {"spacy-genner.OpenAICompatible.v1"}


class HubName(NamedTuple):
    """The name of a pipeline on the hub.

    repo (str): The repository, "ORG/NAME".
    revision (str | None): The branch, tag or commit. None for the main branch.
    """

    repo: str
    revision: str | None


def parse_hub_name(name: str, revision: str | None = None) -> HubName | None:
    """Find out whether the name of a pipeline is one of the hub.

    An existing path is never one. Nor is a path below an existing folder, which is a
    misspelled one, unless it has a revision.

    name (str): A folder, the name of a package, "ORG/NAME" or "ORG/NAME@REVISION".
    revision (str | None): The revision, if it is given beside the name.
    RETURNS (HubName | None): The name on the hub, or None for another name.
    RAISES (ValueError): A name that is not one of the hub has a revision, or one name
        has two revisions.
    """
    match = None if Path(name).exists() else _HUB_NAME.fullmatch(name)
    if match is None:
        if revision is not None:
            raise ValueError(Errors.G900.format(name=name, revision=revision))
        return None
    organization, repo, inner = match.groups()
    if inner is not None and revision not in (None, inner):
        raise ValueError(Errors.G900.format(name=name, revision=revision))
    found = inner or revision
    if found is None and Path(organization).is_dir():
        return None
    return HubName(f"{organization}/{repo}", found)


def download_pipeline(name: HubName) -> Path:
    """Get the folder of a pipeline of the hub, and check that it can be trusted.

    A copy in the local cache is used as it is, without the network.

    name (HubName): The repository and the revision.
    RETURNS (Path): The folder, in the cache of `huggingface_hub`.
    RAISES (ValueError): The repository is missing, private or no pipeline, the hub is
        not reachable, or the pipeline would run code or send texts elsewhere.
    """
    try:
        folder = hub_snapshot(name.repo, name.revision, ["*"], _IGNORED, _is_complete)
    except ValueError as error:
        reason = _explain(error.__cause__ or error, name)
        raise ValueError(
            Errors.G901.format(
                name=name.repo, revision=name.revision or "main", reason=reason
            )
        ) from error
    if not _is_complete(folder):
        found = sorted(path.name for path in folder.iterdir())[:12]
        raise ValueError(Errors.G902.format(name=name.repo, found=", ".join(found)))
    check_trusted(folder, name.repo)
    return folder


def _is_complete(folder: Path) -> bool:
    """Whether a snapshot has the files of a pipeline. An interrupted download leaves a
    part of them."""
    needed = (_CONFIG_FILE, _META_FILE, _STRINGS_FILE)
    return all((folder / name).is_file() for name in needed)


def _explain(error: BaseException, name: HubName) -> str:
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return (
            f"its owner requires users to accept its terms at "
            f"https://huggingface.co/{name.repo}; then log in (hf auth login)"
        )
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision"
    if isinstance(error, RepositoryNotFoundError):
        return (
            "the hub has no such repository, or it is private and this account has no "
            "access (hf auth login)"
        )
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def check_trusted(folder: Path, name: str) -> None:
    """Check that the config of a pipeline only uses functions of spaCy and of this
    package, none of which sends texts to a server.

    folder (Path): The folder of the pipeline.
    name (str): The name on the hub, for the error message.
    RAISES (ValueError): It uses another function, or the config can't be read.
    """
    try:
        config = load_config(folder / _CONFIG_FILE, interpolate=True)
        uses = _functions(config)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ValueError(Errors.G904.format(name=name, reason=reason)) from error
    for group, function in uses:
        if function in _SENDERS:
            raise ValueError(Errors.G903.format(name=name, found=function, what=_SENDS))
        package = _package(group, function, str(config["nlp"].get("lang", "")))
        if package is not None and package not in _TRUSTED:
            what = f"is code of the package {package}"
            raise ValueError(Errors.G903.format(name=name, found=function, what=what))


_SENDS = "sends the texts to a server that the config names"


def _functions(config: Any) -> list[tuple[str, str]]:
    """The registered functions that loading a pipeline calls, with their registries."""
    found = [
        (path[-1][1:], str(value))
        for section in ("nlp", "components")
        for path, value in walk_dict(config[section])
        if path[-1].startswith("@")
    ]
    for settings in config["components"].values():
        if "factory" in settings:
            found.append(("factories", str(settings["factory"])))
        if "source" in settings:
            raise ValueError(f"it copies a component of {settings['source']!r}")
    return found


def _package(group: str, function: str, lang: str) -> str | None:
    """The package of a registered function. None if nobody registered it, which loading
    reports."""
    for name in (f"{lang}.{function}", function):
        try:
            module = registry.find(group, name).get("module")
        except (RegistryError, ValueError):
            continue
        return str(module or "").split(".")[0]
    return None
