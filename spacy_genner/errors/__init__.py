"""Every message of the project, with its code: a module for each group.

Use: ``raise ValueError(Errors.G001.format(...))``. A message names the setting
or the place at fault, what was found, what was expected, and the remedy.
Codes are grouped by room: G0 formats, G1 grammar and decoding, G2 models,
G3 training, G4 component, G5 corpora and command line, G6 evaluation, G7 models
behind a server, and spacy-llm.
"""

import warnings

from .component import ComponentErrors, ComponentWarnings
from .corpora import CorporaErrors, CorporaWarnings
from .evaluation import EvaluationErrors, EvaluationWarnings
from .formats import FormatErrors
from .grammar import GrammarErrors
from .llm import LlmErrors, LlmWarnings
from .llm_annotation import AnnotationErrors, AnnotationWarnings
from .models import ModelErrors
from .remote import RemoteErrors, RemoteWarnings
from .training import TrainingErrors, TrainingWarnings


class GennerWarning(UserWarning):
    """Whatever the project warns of."""


def warn(message: str) -> None:
    """Warn of something.

    message (str): One of `Warnings`.
    """
    warnings.warn(message, GennerWarning, stacklevel=3)


class _Coded(type):
    """Puts the attribute's name in front of the message: ``[G001] ...``."""

    def __getattribute__(cls, name: str) -> str:
        message = super().__getattribute__(name)
        if name.startswith("__"):
            return message
        return f"[{name}] {message}"


class Errors(
    FormatErrors,
    GrammarErrors,
    ModelErrors,
    TrainingErrors,
    ComponentErrors,
    CorporaErrors,
    EvaluationErrors,
    RemoteErrors,
    LlmErrors,
    AnnotationErrors,
    metaclass=_Coded,
):
    """All errors, by code."""


class Warnings(
    TrainingWarnings,
    ComponentWarnings,
    CorporaWarnings,
    EvaluationWarnings,
    RemoteWarnings,
    LlmWarnings,
    AnnotationWarnings,
    metaclass=_Coded,
):
    """All warnings, by code."""
