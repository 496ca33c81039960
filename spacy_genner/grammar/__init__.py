"""The grammars: automata over token ids that accept the legal outputs for a text.

Pure Python, without torch or spaCy.
"""

from .base import Grammar, MarkedSpan, Source, State, make_source
from .inline import InlineGrammar, InlineState, Markup, make_markup, markup_by_boundary
from .json import JsonGrammar, JsonState
from .maker import GrammarMaker, make_grammars

__all__ = [
    "Grammar",
    "GrammarMaker",
    "InlineGrammar",
    "InlineState",
    "JsonGrammar",
    "JsonState",
    "MarkedSpan",
    "Markup",
    "Source",
    "State",
    "make_grammars",
    "make_markup",
    "make_source",
    "markup_by_boundary",
]
