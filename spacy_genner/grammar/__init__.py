"""The automata of legal outputs over a tokenizer's ids. Pure Python."""

from .inline_automaton import InlineGrammar
from .inline_marks import Marks, make_marks, marks_by_boundary
from .inline_states import InlineState
from .json_automaton import JsonGrammar
from .json_states import JsonState
from .maker import GrammarMaker, make_grammars
from .output import Marked, OutputGrammar, OutputState
from .source import Source, make_source

__all__ = [
    "GrammarMaker",
    "InlineGrammar",
    "InlineState",
    "JsonGrammar",
    "JsonState",
    "Marked",
    "Marks",
    "OutputGrammar",
    "OutputState",
    "Source",
    "make_grammars",
    "make_marks",
    "make_source",
    "marks_by_boundary",
]
