"""Prompts: layout, demonstrations, windows, and their encoding as token ids."""

from .encoder import Choice, Target, TaskEncoder
from .examples import Demonstration, FirstDemonstrations, Selection
from .layout import PromptLayout, PromptSettings

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
