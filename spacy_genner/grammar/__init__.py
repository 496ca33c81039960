"""The automaton of legal outputs over a tokenizer's ids. Pure Python."""

from .automaton import Grammar, State
from .marks import Marks, make_marks, marks_by_boundary
from .source import Source, make_source

__all__ = [
    "Grammar",
    "Marks",
    "Source",
    "State",
    "make_marks",
    "make_source",
    "marks_by_boundary",
]
