"""The automaton of legal outputs over a tokenizer's ids. Pure Python."""

from .automaton import Grammar, State
from .json_automaton import JsonGrammar
from .json_states import JsonState
from .maker import GrammarMaker, OutputGrammar, OutputState, make_grammars
from .marks import Marks, make_marks, marks_by_boundary
from .source import Source, make_source

__all__ = [
    "Grammar",
    "GrammarMaker",
    "JsonGrammar",
    "JsonState",
    "Marks",
    "OutputGrammar",
    "OutputState",
    "Source",
    "State",
    "make_grammars",
    "make_marks",
    "make_source",
    "marks_by_boundary",
]
