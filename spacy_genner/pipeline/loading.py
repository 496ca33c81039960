"""Load pipelines by name, and find their generative component."""

from pathlib import Path
from typing import Any

import spacy
from confection import ConfigValidationError
from spacy.language import Language

from ..errors import Errors

# The factory of the generative component.
FACTORY = "generative_ner"


def load_pipeline(name: str) -> Language:
    """Load a saved or installed pipeline.

    name (str): Its folder, or the name of its package.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): It can't be loaded.
    """
    try:
        return spacy.load(Path(name) if Path(name).exists() else name)
    except (OSError, ValueError) as error:
        if str(error).startswith("[G"):
            raise
        reason = without_values(error)
        raise ValueError(Errors.G527.format(path=name, reason=reason)) from error


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
    return nlp.get_pipe(_only_component(nlp, name))


def _only_component(nlp: Language, name: str) -> str:
    found = [
        pipe for pipe in nlp.pipe_names if nlp.get_pipe_meta(pipe).factory == FACTORY
    ]
    if len(found) != 1:
        raise ValueError(Errors.G526.format(path=name, found=len(found)))
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
