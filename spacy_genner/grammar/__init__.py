"""The automata of legal outputs over a tokenizer's ids. Pure Python."""

from .base import Grammar, MarkedSpan, Source, State, make_source
from .inline import InlineGrammar, InlineState, Markup, make_markup, markup_by_boundary
from .json import JsonGrammar, JsonState
from .maker import GrammarMaker, make_grammars

__all__ = [
    "GrammarMaker",
    "InlineGrammar",
    "InlineState",
    "JsonGrammar",
    "JsonState",
    "MarkedSpan",
    "Markup",
    "Grammar",
    "State",
    "Source",
    "make_grammars",
    "make_markup",
    "make_source",
    "markup_by_boundary",
]
