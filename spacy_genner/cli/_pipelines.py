"""Load a pipeline, and find where its spans are."""

from pathlib import Path

import spacy
from spacy.language import Language

from ..errors import Errors

_FACTORY = "generative_ner"


def load_pipeline(name: str) -> Language:
    """Load a saved or installed pipeline.

    name (str): Its folder, or its package's name.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): It can't be loaded.
    """
    try:
        return spacy.load(Path(name) if Path(name).exists() else name)
    except (OSError, ValueError) as error:
        if str(error).startswith("[G"):
            raise
        raise ValueError(Errors.G527.format(path=name, reason=error)) from error


def find_spans_key(nlp: Language, name: str) -> str:
    """Find the group that a pipeline's generative component writes to.

    nlp (Language): The pipeline.
    name (str): What it was loaded from, for the message.
    RETURNS (str): The key of `doc.spans`.
    RAISES (ValueError): There is no such component, or more than one.
    """
    keys = [
        str(nlp.get_pipe_config(pipe)["spans_key"])
        for pipe in nlp.pipe_names
        if nlp.get_pipe_meta(pipe).factory == _FACTORY
    ]
    if len(keys) != 1:
        raise ValueError(Errors.G526.format(path=name, found=len(keys)))
    return keys[0]
