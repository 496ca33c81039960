"""Send a pipeline to the Hugging Face hub, in one commit.

The token is that of `hf auth login` or of HF_TOKEN. This module never reads it:
`huggingface_hub` adds it to its requests.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import Errors, Warnings, warn
from ..io import read_text
from ..pipeline.loading import FACTORY
from .card import LIBRARY, CardInfo, replace_use_section, use_section
from .files import CARD, PipelineFiles, check_secrets, machine_paths, read_pipeline

MAIN = "main"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_LOGIN = (
    "Log in (hf auth login, or the environment variable HF_TOKEN) with a token that "
    "may write to this repository."
)


@dataclass(frozen=True)
class Push:
    """What is sent to the hub.

    repo (str): The repository, "ORG/NAME".
    pipeline (PipelineFiles): The files.
    card (str): The content of README.md, for this repository.
    revision (str): The branch.
    tag (str | None): The tag of the commit.
    private (bool): Whether the repository is created as a private one.
    message (str): The message of the commit.
    """

    repo: str
    pipeline: PipelineFiles
    card: str
    revision: str = MAIN
    tag: str | None = None
    private: bool = False
    message: str = ""

    def sizes(self) -> list[tuple[PurePosixPath, int]]:
        """RETURNS (list[tuple[PurePosixPath, int]]): The files with their sizes in
        bytes."""
        return [
            (
                path,
                len(self.card.encode("utf8"))
                if str(path) == CARD
                else self.pipeline.size(path),
            )
            for path in self.pipeline.files
        ]


def prepare_push(
    folder: Path,
    repo: str,
    revision: str | None = None,
    tag: str | None = None,
    private: bool = False,
    message: str | None = None,
) -> Push:
    """Check a pipeline and collect what is sent. The network is not used.

    folder (Path): The folder of a package that `genner package` made, or of a pipeline
        with a model card.
    repo (str): The repository, "ORG/NAME".
    revision (str | None): The branch. Defaults to the main branch.
    tag (str | None): The tag that the commit receives.
    private (bool): Whether a new repository is private.
    message (str | None): The message of the commit.
    RETURNS (Push): What is sent.
    RAISES (ValueError): The name is invalid, there is no card, a file contains a
        secret, or others can't get the base.
    """
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise ValueError(Errors.G914.format(found=repo))
    pipeline = read_pipeline(folder)
    card = _read_card(pipeline, folder)
    check_secrets(pipeline)
    for component, base in pipeline.local_bases.items():
        raise ValueError(Errors.G913.format(component=component, found=base))
    paths = machine_paths(pipeline.config)
    if paths:
        warn(Warnings.W903.format(found=", ".join(paths[:6])))
    branch = revision or MAIN
    name = f"{pipeline.meta.get('lang')}_{pipeline.meta.get('name')}"
    version = str(pipeline.meta.get("version"))
    shown = tag or (branch if branch != MAIN else None)
    section = use_section(
        CardInfo(name, version),
        _spans_key(pipeline),
        next(iter(pipeline.components.values()), ""),
        [
            str(needed)
            for needed in pipeline.meta.get("requirements", ())
            if not re.match(r"spacy(-genner)?\b(?!-)", str(needed))
        ],
        repo,
        shown,
    )
    return Push(
        repo,
        pipeline,
        replace_use_section(card, section),
        branch,
        tag,
        private,
        message or f"Update {name} to version {version}",
    )


def _read_card(pipeline: PipelineFiles, folder: Path) -> str:
    """Read the model card and check the metadata that the hub reads."""
    from huggingface_hub import ModelCard

    path = pipeline.folder / CARD
    if PurePosixPath(CARD) not in pipeline.files:
        raise ValueError(Errors.G911.format(path=folder, reason=f"{CARD} is missing"))
    text = read_text(path)
    try:
        data = ModelCard(text).data
    # The parser of YAML has errors of its own.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            Errors.G911.format(
                path=folder, reason=f"the metadata of {CARD} can't be read ({reason})"
            )
        ) from error
    if data.get("library_name") != LIBRARY:
        reason = f"{CARD} has no metadata with 'library_name: {LIBRARY}'"
        raise ValueError(Errors.G911.format(path=folder, reason=reason))
    return text


def _spans_key(pipeline: PipelineFiles) -> str:
    keys = [
        str(settings.get("spans_key", "sc"))
        for settings in pipeline.config["components"].values()
        if settings.get("factory") == FACTORY
    ]
    return keys[0] if keys else "sc"


def send(push: Push) -> str:
    """Send a pipeline to the hub: create the repository and the branch if necessary,
    and make one commit.

    Files of an earlier version that belong to the same components and are not sent
    again are deleted in this commit. Other files of the repository stay.

    push (Push): What is sent.
    RETURNS (str): The address of the commit.
    RAISES (ValueError): The hub refuses a step or is not reachable, a public repository
        should be private, or the tag exists.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(library_name="spacy-genner")
    with _explained(push.repo, "the creation"):
        api.create_repo(push.repo, private=push.private or None, exist_ok=True)
    with _explained(push.repo, "access"):
        info = api.model_info(push.repo)
        refs = api.list_repo_refs(push.repo)
    if push.private and not info.private:
        raise ValueError(Errors.G916.format(repo=push.repo))
    if push.tag is not None and push.tag in {ref.name for ref in refs.tags}:
        raise ValueError(Errors.G917.format(repo=push.repo, tag=push.tag))
    if push.revision != MAIN and push.revision not in {r.name for r in refs.branches}:
        with _explained(push.repo, f"the branch {push.revision!r}"):
            api.create_branch(push.repo, branch=push.revision)
    with _explained(push.repo, "the list of files"):
        old = api.list_repo_files(push.repo, revision=push.revision)
    sent = {str(path) for path in push.pipeline.files}
    operations: list[Any] = [
        CommitOperationAdd(
            name,
            push.card.encode("utf8")
            if name == CARD
            else str(push.pipeline.folder / name),
        )
        for name in sorted(sent)
    ]
    operations += [
        CommitOperationDelete(name, is_folder=False)
        for name in sorted(old)
        if name not in sent and _is_replaced(name, push.pipeline)
    ]
    with _explained(push.repo, "the commit"):
        commit = api.create_commit(
            push.repo,
            operations,
            commit_message=push.message,
            revision=push.revision,
        )
    if push.tag is not None:
        with _explained(push.repo, f"the tag {push.tag!r}"):
            api.create_tag(push.repo, tag=push.tag, revision=commit.oid)
    return str(commit.commit_url)


def _is_replaced(name: str, pipeline: PipelineFiles) -> bool:
    folders = ["vocab", *pipeline.config["components"]]
    return any(fnmatch(name, f"{folder}/*") for folder in folders)


@contextmanager
def _explained(repo: str, what: str) -> Iterator[None]:
    """Explain the errors of the hub. Their messages contain no token, which is only
    sent in a header."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        remedy = _LOGIN if status in (401, 403, 404) else "Try again later."
        reason = f"{_first_line(error)}"
        raise ValueError(
            Errors.G915.format(what=what, repo=repo, reason=reason, remedy=remedy)
        ) from error
    except (OfflineModeIsEnabled, OSError, ValueError, RuntimeError) as error:
        if str(error).startswith("[G"):
            raise
        raise ValueError(
            Errors.G915.format(
                what=what,
                repo=repo,
                reason=_first_line(error.__cause__ or error),
                remedy="Check the network and the settings of huggingface_hub.",
            )
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
