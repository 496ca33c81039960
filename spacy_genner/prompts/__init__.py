"""Instruction, label definitions, demonstrations; texts to model inputs."""

from .encoder import Choice, Target, TaskEncoder
from .layout import PromptLayout

__all__ = ["Choice", "PromptLayout", "Target", "TaskEncoder"]
