"""Instruction, label definitions, demonstrations."""

from .layout import PromptLayout

__all__ = ["PromptLayout"]
