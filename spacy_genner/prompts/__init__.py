"""Instruction, label definitions, demonstrations; texts to model inputs."""

from .demonstrations import Demonstration, FirstDemonstrations, Selection
from .encoder import Choice, Target, TaskEncoder
from .layout import PromptLayout
from .settings import PromptSettings

__all__ = [
    "Choice",
    "Demonstration",
    "FirstDemonstrations",
    "PromptLayout",
    "PromptSettings",
    "Selection",
    "Target",
    "TaskEncoder",
]
