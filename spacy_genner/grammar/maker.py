"""The grammars of a format, whichever it is."""

from collections.abc import Callable, Sequence
from functools import partial

from ..formats import Format, InlineFormat
from .base import Encode, Grammar, Source
from .inline import InlineGrammar, make_markup
from .json import JsonGrammar
from .json_tokens import make_json_tokens

GrammarMaker = Callable[[Source], Grammar]


def make_grammars(
    fmt: Format, labels: Sequence[str], encode: Encode, max_depth: int
) -> GrammarMaker:
    """What makes the grammar of each source.

    fmt (Format): The output format.
    labels (Sequence[str]): The labels, in their order.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    max_depth (int): How many spans may be open at once; in the JSON formats, in how
        many a unit may lie.
    RETURNS (Callable[[Source], Grammar]): Makes a grammar of a source.
    RAISES (ValueError): Two labels can't be told apart under the tokenizer.
    """
    if isinstance(fmt, InlineFormat):
        marks = make_markup(fmt, labels, encode)
        return partial(InlineGrammar, marks, max_depth=max_depth)
    pieces = make_json_tokens(fmt.name, labels, encode)
    return partial(JsonGrammar, pieces, max_depth=max_depth, encode=encode)
