"""The pipeline that labels a training corpus: from a config, or as it was saved."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import spacy
from confection import Config
from spacy.language import Language
from spacy.util import get_sourced_components, load_config, load_model_from_config

from ..errors import Errors
from ..models.checksums import cached_sha256
from ._errors import without_values
from ._pipelines import add_group_of_entities

_GENERATIVE, _LLM = "generative_ner", "llm"
_CONFIG = "config.cfg"


class Teacher(NamedTuple):
    """A pipeline that finds spans.

    nlp (Language): The pipeline, ready for use.
    spans_key (str): The group of `doc.spans` that it writes.
    digest (str): A checksum of all that its results depend on.
    """

    nlp: Language
    spans_key: str
    digest: str


def load_teacher(
    source: str, overrides: Mapping[str, Any], spans_key: str | None = None
) -> Teacher:
    """Make the pipeline of a config, or load a saved one.

    source (str): A config file, the folder of a saved pipeline, or the name of an
        installed one.
    overrides (Mapping[str, Any]): Values of the config, by section and key.
    spans_key (Optional[str]): The group that it writes; None to find it.
    RETURNS (Teacher): The teacher.
    RAISES (ValueError): It can't be made, or does not say which spans to take.
    """
    path = Path(source)
    try:
        if path.is_file():
            nlp = _assembled(path, overrides)
        else:
            config = path / _CONFIG
            if config.is_file():
                _check_extra(path, load_config(config, interpolate=False))
            nlp = spacy.load(path if path.exists() else source, config=dict(overrides))
    except (OSError, ValueError) as error:
        if str(error).startswith("[G"):
            raise
        reason = without_values(error)
        raise ValueError(Errors.G760.format(path=path, reason=reason)) from error
    _check_labels(nlp, path)
    key = spans_key or _find_key(nlp, path)
    return Teacher(nlp, key, _digest(nlp, key))


def _assembled(path: Path, overrides: Mapping[str, Any]) -> Language:
    """As spacy-llm assembles a config, with or without a component of its own."""
    config = load_config(path, overrides=dict(overrides), interpolate=False)
    _check_extra(path, config)
    nlp = load_model_from_config(config, auto_fill=True)
    whole = nlp.config.interpolate()
    for name in nlp.pipe_names:
        settings = whole["initialize"]["components"].get(name, {})
        if nlp.get_pipe_meta(name).factory == _GENERATIVE:
            if not nlp.get_pipe(name).labels and not settings.get("labels"):  # type: ignore[attr-defined]
                raise ValueError(Errors.G763.format(name=name, path=path))
    sourced = get_sourced_components(config.interpolate())
    nlp._link_components()
    with nlp.select_pipes(disable=list(sourced)):
        nlp.initialize()
    return nlp


def _check_extra(path: Path, config: Config) -> None:
    components = config.get("components", {}).values()
    used = any(component.get("factory") == _LLM for component in components)
    if used and find_spec("spacy_llm") is None:
        raise ValueError(Errors.G761.format(path=path))


def _writers(nlp: Language) -> Iterator[tuple[str, str]]:
    """The components that write spans, with their groups."""
    for name in nlp.pipe_names:
        factory = nlp.get_pipe_meta(name).factory
        if factory == _GENERATIVE:
            yield name, str(nlp.get_pipe_config(name)["spans_key"])
        elif factory == _LLM:
            task = getattr(nlp.get_pipe(name), "task", None)
            # Tasks of others have settings of other kinds.
            key = getattr(getattr(task, "settings", None), "spans_key", None)
            if key is not None:
                yield name, str(key)


def _check_labels(nlp: Language, path: Path) -> None:
    for name, _ in _writers(nlp):
        if not nlp.get_pipe(name).labels:  # type: ignore[attr-defined]
            raise ValueError(Errors.G763.format(name=name, path=path))


def _find_key(nlp: Language, path: Path) -> str:
    keys = [key for _, key in _writers(nlp)]
    if not keys and add_group_of_entities(nlp, "sc"):
        return "sc"
    if len(keys) != 1:
        raise ValueError(Errors.G762.format(path=path, found=len(keys)))
    return keys[0]


def _digest(nlp: Language, key: str) -> str:
    whole = nlp.config.interpolate()
    config = json.dumps([key, whole], default=str)
    digest = hashlib.sha256(config.encode("utf8"))
    for path in _files_named(whole["components"]):
        digest.update(f"{path} {cached_sha256(path)}\n".encode())
    # What no training has touched is as the config says; its first weights may be
    # drawn by chance.
    exclude = () if nlp.path else ("adapter",)
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "to_bytes"):
            digest.update(pipe.to_bytes(exclude=exclude))
    return digest.hexdigest()


def _files_named(config: Any, setting: str = "") -> Iterator[Path]:
    """The files that settings name, such as a template, and those of adapters."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _files_named(value, key)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _files_named(value, setting)
    # Unlike a Path, it takes texts that are too long for a path.
    elif isinstance(config, str) and os.path.isfile(config):
        yield Path(config)
    elif isinstance(config, str) and setting == "adapter":
        yield from sorted(path for path in Path(config).rglob("*") if path.is_file())
