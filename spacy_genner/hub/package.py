"""Python packages of pipelines: spaCy's `package`, with a model card, licenses and the
scores of an evaluation."""

import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version
from spacy.language import Language
from spacy.util import get_minor_version_range

from .. import __version__
from ..errors import Errors, Warnings, warn
from ..io import copy_folder, parse_json, read_text, replaced_folder, write_json
from ..models.licenses import LicenseNotes
from ..pipeline.loading import find_spans_key, load_pipeline
from .card import CardInfo, make_card
from .files import (
    CARD,
    META,
    PipelineFiles,
    check_secrets,
    machine_paths,
    read_pipeline,
)

BUILDS = ("wheel", "sdist", "none")
_NAME = re.compile(r"[A-Za-z](?:\w*[A-Za-z0-9])?", re.ASCII)
_OWN_PACKAGE = "spacy-genner"


@dataclass(frozen=True)
class PackageSettings:
    """The settings of a package.

    card (CardInfo): What the card says. The package and the version of it are set by
        `name` and `version`.
    name (str | None): The name of the pipeline without its language. By default that of
        its metadata.
    version (str | None): The version. By default that of the metadata.
    email (str): The email address of the author. May be empty.
    url (str): The web page of the author. May be empty.
    license_file (Path | None): The text of the license, which becomes LICENSE.
    spans_key (str | None): The key of the span group. Defaults to that of the only
        generative component.
    build (str): "wheel", "sdist" or "none" for the folder alone.
    force (bool): Whether to replace an existing folder.
    code (Path | None): A Python file with registered functions, which the package
        imports. It is imported already.
    """

    card: CardInfo = field(default_factory=lambda: CardInfo("", ""))
    name: str | None = None
    version: str | None = None
    email: str = ""
    url: str = ""
    license_file: Path | None = None
    spans_key: str | None = None
    build: str = "wheel"
    force: bool = False
    code: Path | None = None


@dataclass(frozen=True)
class Package:
    """A package.

    name (str): Its name, such as "en_demo".
    version (str): Its version.
    folder (Path): Its folder, with README.md and the data.
    archive (Path | None): The wheel or sdist. None if none was built.
    """

    name: str
    version: str
    folder: Path
    archive: Path | None


def make_package(
    model: str,
    output: Path,
    settings: PackageSettings,
    scores: Mapping[str, Any] | None = None,
) -> Package:
    """Make a Python package of a pipeline.

    model (str): The folder or the name of the pipeline.
    output (Path): The folder that receives the folder `NAME-VERSION` of the package.
        Its old content is replaced at once or not at all.
    settings (PackageSettings): The settings.
    scores (Mapping[str, Any] | None): The JSON of an evaluation.
    RETURNS (Package): The package.
    RAISES (ValueError): A setting is invalid, the pipeline contains a secret, the
        folder exists, or the package can't be built.
    """
    nlp = load_pipeline(model)
    if nlp.path is None:
        raise ValueError(Errors.G906.format(path=model, missing="its folder"))
    pipeline = read_pipeline(Path(nlp.path))
    check_secrets(pipeline)
    key = settings.spans_key or find_spans_key(nlp, model)
    name, version = _checked_name(nlp, settings.name), _checked_version(nlp, settings)
    package = name if name.startswith(f"{nlp.lang}_") else f"{nlp.lang}_{name}"
    target = output / f"{package}-{version}"
    if target.exists() and not settings.force:
        raise ValueError(Errors.G907.format(path=target))
    license_text = (
        None if settings.license_file is None else read_text(settings.license_file)
    )
    if settings.build != "none":
        _check_build()
    info = replace(settings.card, package=package, version=version)
    card = make_card(nlp, key, info, scores)
    _warn(pipeline, info, card, scores)
    with tempfile.TemporaryDirectory(prefix="genner-package-") as work:
        data = Path(work) / "data"
        for path in pipeline.files:
            (data / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(pipeline.folder / path, data / path)
        (data / CARD).write_text(str(card), encoding="utf8")
        if license_text is not None:
            (data / "LICENSE").write_text(license_text, encoding="utf8")
        _license_notes(pipeline, info).write(data)
        meta = {**pipeline.meta, "name": name, "version": version}
        write_json(
            data / META,
            _meta(
                meta, key, info, card.data.to_dict().get("license"), settings, scores
            ),
        )
        made = _run_spacy_package(data, Path(work), settings.code)
        archive = None if settings.build == "none" else _build(made, settings.build)
        with replaced_folder(target) as fresh:
            copy_folder(made, fresh)
    final = None if archive is None else target / archive.relative_to(made)
    return Package(package, version, target, final)


def _checked_name(nlp: Language, given: str | None) -> str:
    name = nlp.meta["name"] if given is None else given
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            Errors.G905.format(
                setting="The name of the pipeline",
                found=name,
                expected="ASCII letters, digits and '_', with a letter at the start",
                option="--name",
            )
        )
    return name


def _checked_version(nlp: Language, settings: PackageSettings) -> str:
    found = settings.version or nlp.meta["version"]
    try:
        return str(Version(str(found)))
    except InvalidVersion:
        raise ValueError(
            Errors.G905.format(
                setting="The version",
                found=found,
                expected="a version such as 1.0.0 (PEP 440)",
                option="--version",
            )
        ) from None


def _warn(
    pipeline: Any, info: CardInfo, card: Any, scores: Mapping[str, Any] | None
) -> None:
    if card.data.license is None:
        warn(Warnings.W900)
    if scores is None:
        warn(Warnings.W901)
    for component, base in pipeline.local_bases.items():
        warn(Warnings.W902.format(component=component, found=base))
    paths = machine_paths(pipeline.config)
    if paths:
        warn(Warnings.W903.format(found=", ".join(paths[:6])))
    if pipeline.left_out:
        found = ", ".join(map(str, pipeline.left_out[:6]))
        warn(Warnings.W904.format(found=found))


def _license_notes(pipeline: PipelineFiles, info: CardInfo) -> LicenseNotes:
    """The licenses of the base, the start and the corpus, and the citation."""
    notes = LicenseNotes.collect(pipeline.components.values(), pipeline.starts)
    if info.data_name or info.data_license:
        where = f" ({info.data_url})" if info.data_url else ""
        license = info.data_license or "license not stated"
        notes.sources.append(f"Corpus {info.data_name or ''}{where}: {license}.")
    if info.citation:
        notes.sources.append(info.citation.strip())
    return notes


def _meta(
    meta: dict[str, Any],
    key: str,
    info: CardInfo,
    license: str | None,
    settings: PackageSettings,
    scores: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The metadata of the package: that of the pipeline, with what is known besides."""
    given = {
        "description": info.description,
        "author": info.author,
        "email": settings.email,
        "url": settings.url,
        "license": info.license or license,
    }
    meta |= {name: value for name, value in given.items() if value}
    needed = list(meta.get("requirements", ()))
    if not any(str(found).startswith(_OWN_PACKAGE) for found in needed):
        needed.append(f"{_OWN_PACKAGE}{get_minor_version_range(__version__)}")
    meta["requirements"] = needed
    if scores is not None:
        meta["performance"] = _performance(key, scores)
    sources = [
        {"name": info.data_name, "url": info.data_url, "license": info.data_license}
    ]
    if info.data_name:
        meta["sources"] = [
            {name: value for name, value in source.items() if value}
            for source in sources
        ]
    return meta


def _performance(key: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    """The scores under the names of spaCy's scorer."""
    found: dict[str, Any] = {
        f"spans_{key}_{part}": scores[f"micro_{part}"] for part in "prf"
    }
    for part in "prf":
        if f"nested_{part}" in scores:
            found[f"spans_{key}_nested_{part}"] = scores[f"nested_{part}"]
    found[f"spans_{key}_per_type"] = {
        label: {part: entry[part] for part in "prf"}
        for label, entry in scores["per_type"].items()
    }
    return found


def _run_spacy_package(data: Path, work: Path, code: Path | None) -> Path:
    """Run spaCy's own command over a prepared pipeline and return the folder."""
    from spacy.cli.package import package

    output = work / "package"
    output.mkdir()
    try:
        # Stdout is for results.
        with redirect_stdout(sys.stderr):
            package(
                data,
                output,
                code_paths=[] if code is None else [code],
                create_sdist=False,
                create_wheel=False,
                require_parent=True,
                silent=True,
            )
    except SystemExit as error:
        reason = f"'spacy package' refuses the metadata (exit code {error.code})"
        raise ValueError(Errors.G910.format(reason=reason)) from error
    made = [path for path in output.iterdir() if path.is_dir()]
    return made[0]


def _check_build() -> None:
    """Check that the libraries that build a package are installed."""
    try:
        import build  # noqa: F401
        import setuptools  # noqa: F401
    except ImportError as error:
        raise ValueError(
            Errors.G910.format(reason=f"{error.name} is missing")
        ) from None


def _build(folder: Path, distribution: Any) -> Path:
    """Build a wheel or an sdist with the installed setuptools, without the network."""
    import build
    from pyproject_hooks import quiet_subprocess_runner

    try:
        builder = build.ProjectBuilder(folder, runner=quiet_subprocess_runner)
        made = Path(builder.build(distribution, folder / "dist"))
    except (build.BuildException, build.BuildBackendException) as error:
        lines = str(error).strip().splitlines()
        reason = lines[-1] if lines else type(error).__name__
        raise ValueError(Errors.G910.format(reason=reason)) from error
    # What building leaves behind.
    shutil.rmtree(folder / "build", ignore_errors=True)
    for leftover in folder.glob("*.egg-info"):
        shutil.rmtree(leftover, ignore_errors=True)
    return made


def read_scores(path: Path) -> Any:
    """Read the JSON of an evaluation.

    path (Path): The file.
    RETURNS (Any): Its content.
    RAISES (ValueError): It is no JSON.
    """
    try:
        return parse_json(read_text(path).removeprefix("\ufeff"))
    except ValueError as error:
        raise ValueError(Errors.G512.format(path=path, line=1, found=error)) from error
