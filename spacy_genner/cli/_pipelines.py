"""Load a pipeline, and find where its spans are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc, SpanGroup

from ..errors import Errors
from ._errors import without_values

_FACTORY = "generative_ner"
_ENTITIES = "genner_entities_as_group"


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
        reason = without_values(error)
        raise ValueError(Errors.G527.format(path=name, reason=reason)) from error


def find_spans_key(nlp: Language, name: str) -> str:
    """Find the group that a pipeline's generative component writes to.

    nlp (Language): The pipeline.
    name (str): What it was loaded from, for the message.
    RETURNS (str): The key of `doc.spans`.
    RAISES (ValueError): There is no such component, or more than one.
    """
    return str(nlp.get_pipe_config(_only_component(nlp, name))["spans_key"])


def find_component(nlp: Language, name: str) -> Any:
    """Find the generative component of a pipeline.

    nlp (Language): The pipeline.
    name (str): What it was loaded from, for the message.
    RETURNS (GenerativeNER): The component.
    RAISES (ValueError): There is no such component, or more than one.
    """
    return nlp.get_pipe(_only_component(nlp, name))


def _only_component(nlp: Language, name: str) -> str:
    found = [
        pipe for pipe in nlp.pipe_names if nlp.get_pipe_meta(pipe).factory == _FACTORY
    ]
    if len(found) != 1:
        raise ValueError(Errors.G526.format(path=name, found=len(found)))
    return found[0]


def add_group_of_entities(nlp: Language, key: str) -> bool:
    """Have a pipeline that finds nothing but entities, as one with spaCy's `ner` does,
    put them into a group too, so that they are scored as any other spans.

    nlp (Language): The pipeline; it gets one more component.
    key (str): The group of `doc.spans`.
    RETURNS (bool): Whether it is such a pipeline: one component says that it writes
        `doc.ents`, and none that it writes `doc.spans`.
    """
    written = {
        target for pipe in nlp.pipe_names for target in nlp.get_pipe_meta(pipe).assigns
    }
    if "doc.ents" not in written or "doc.spans" in written:
        return False
    nlp.add_pipe(_ENTITIES, config={"spans_key": key})
    return True


@Language.factory(_ENTITIES, assigns=["doc.spans"], default_config={"spans_key": "sc"})
def _entities_as_group(
    nlp: Language, name: str, spans_key: str
) -> Callable[[Doc], Doc]:
    def fill(doc: Doc) -> Doc:
        if spans_key not in doc.spans:
            doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=list(doc.ents))
        return doc

    return fill
