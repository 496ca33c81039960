"""Load pipelines by name, and find their generative component."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import spacy
from confection import ConfigValidationError
from spacy.language import Language

from ..errors import Errors
from .download import download_pipeline, parse_hub_name

# The factory of the generative component.
FACTORY = "generative_ner"


def load_pipeline(name: str) -> Language:
    """Load a pipeline by the name that a user gives.

    name (str): Its folder, the name of its package, its name on the hub, "ORG/NAME" or
        "ORG/NAME@REVISION", or "universal".
    RETURNS (Language): The pipeline.
    RAISES (ValueError): It can't be loaded.
    """
    return load(name)


def load(
    name: str | Path,
    *,
    revision: str | None = None,
    disable: str | Iterable[str] = (),
    enable: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] = (),
    config: Mapping[str, Any] | None = None,
) -> Language:
    """Load a pipeline: the universal one of this package, one of the Hugging Face hub,
    or as `spacy.load` does.

    "universal" is the pipeline that follows any labels, without training. It starts
    with labels for everyday texts; `set_labels` of its component sets others.

    A pipeline of the hub is downloaded once. It runs no code of its repository, and its
    config may only use spaCy and this package.

    name (str | Path): The folder of the pipeline, the name of its package, or its name
        on the hub: "ORG/NAME" or "ORG/NAME@REVISION"; or "universal".
    revision (str | None): The branch, tag or commit on the hub. By default the main
        branch.
    disable (str | Iterable[str]): Components that are loaded, and don't run.
    enable (str | Iterable[str] | None): The only components that run. By default all.
    exclude (str | Iterable[str]): Components that are not loaded.
    config (Mapping[str, Any] | None): Values that replace those of the config, such as
        `{"components.generative_ner.min_score": 0.5}`.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): It can't be found or loaded.
    """
    found = find_pipeline(str(name), revision)
    given: dict[str, Any] = {"disable": disable, "exclude": exclude, "enable": enable}
    options: dict[str, Any] = {
        key: value if isinstance(value, str) else list(value)
        for key, value in given.items()
        if value
    }
    if config:
        options["config"] = dict(config)
    from .universal import UNIVERSAL, make_universal

    try:
        if found == UNIVERSAL:
            return make_universal(**options)
        return spacy.load(found, **options)
    # A damaged file, or a package that is no pipeline, can raise any error.
    except Exception as error:
        if str(error).startswith("[G"):
            raise
        reason = without_values(error)
        if not isinstance(error, (OSError, ValueError)):
            reason = f"{type(error).__name__}: {reason}"
        raise ValueError(Errors.G527.format(path=name, reason=reason)) from error


def find_pipeline(name: str, revision: str | None = None) -> Path | str:
    """Resolve the name of a pipeline, and download it from the hub if necessary.

    name (str): A folder, the name of a package, or a name on the hub.
    revision (str | None): The branch, tag or commit on the hub.
    RETURNS (Path | str): The folder, or the name of the package.
    RAISES (ValueError): The pipeline of the hub can't be had or trusted, or `revision`
        is given for another pipeline.
    """
    on_hub = parse_hub_name(name, revision)
    if on_hub is not None:
        return download_pipeline(on_hub)
    return Path(name) if Path(name).exists() else name


def find_spans_key(nlp: Language, name: str) -> str:
    """Find the span group of a pipeline's generative component.

    nlp (Language): The pipeline.
    name (str): The folder or package of the pipeline, for the error message.
    RETURNS (str): The key of the group.
    RAISES (ValueError): There is no generative component, or more than one.
    """
    return str(nlp.get_pipe_config(_only_component(nlp, name))["spans_key"])


def find_component(nlp: Language, name: str) -> Any:
    """Find the generative component of a pipeline.

    nlp (Language): The pipeline.
    name (str): The folder or package of the pipeline, for the error message.
    RETURNS (GenerativeNER): The component.
    RAISES (ValueError): There is no generative component, or more than one.
    """
    # The component itself is needed, so the key of a group would not do.
    return nlp.get_pipe(_only_component(nlp, name, Errors.G992))


def _only_component(nlp: Language, name: str, message: str = Errors.G526) -> str:
    found = [
        pipe for pipe in nlp.pipe_names if nlp.get_pipe_meta(pipe).factory == FACTORY
    ]
    if len(found) != 1:
        raise ValueError(message.format(path=name, found=len(found)))
    return found[0]


def without_values(error: Exception) -> str:
    """Get the message of an error, without the values of a config. spaCy's message for
    an invalid config shows the whole block, which may contain an API key.

    error (Exception): The error.
    RETURNS (str): The message.
    """
    if isinstance(error, ConfigValidationError):
        error = ConfigValidationError.from_error(error, show_config=False)
    return str(error)
