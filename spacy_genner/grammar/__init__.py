"""The grammars: automata over token ids that accept the legal outputs for a text.

Pure Python, without torch or spaCy.
"""

from collections.abc import Callable, Sequence
from functools import partial

from ..formats import Format, InlineFormat
from .base import Encode, Grammar, MarkedSpan, Source, State, make_source
from .inline import InlineGrammar, InlineState, Markup, make_markup, tags_by_boundary
from .json import JsonGrammar, JsonState
from .json_tokens import make_json_tokens

GrammarMaker = Callable[[Source], Grammar]


def make_grammars(
    fmt: Format, labels: Sequence[str], encode: Encode, max_depth: int
) -> GrammarMaker:
    """Create a factory of grammars.

    Everything that does not depend on the source text is encoded once.

    fmt (Format): The output format.
    labels (Sequence[str]): The labels, in order.
    encode (Callable[[str], Sequence[int]]): Encodes a piece of text as data.
    max_depth (int): The maximum number of spans that are open at the same time, or, in
        a JSON format, that contain the same word.
    RETURNS (Callable[[Source], Grammar]): Creates the grammar of a source.
    RAISES (ValueError): If the tokenizer cannot distinguish two labels.
    """
    if isinstance(fmt, InlineFormat):
        markup = make_markup(fmt, labels, encode)
        return partial(InlineGrammar, markup, max_depth=max_depth)
    tokens = make_json_tokens(fmt.name, labels, encode)
    return partial(JsonGrammar, tokens, max_depth=max_depth, encode=encode)


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
    "tags_by_boundary",
]
