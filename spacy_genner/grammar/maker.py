"""The grammars of a format, whichever it is."""

from collections.abc import Callable, Sequence
from functools import partial

from ..formats import Format, InlineFormat
from .inline_automaton import InlineGrammar
from .inline_marks import make_marks
from .json_automaton import JsonGrammar
from .json_pieces import make_json_pieces
from .output import OutputGrammar
from .source import Encode, Source

GrammarMaker = Callable[[Source], OutputGrammar]


def make_grammars(
    fmt: Format, labels: Sequence[str], encode: Encode, max_depth: int
) -> GrammarMaker:
    """What makes the grammar of each source.

    fmt (Format): The output format.
    labels (Sequence[str]): The labels, in their order.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    max_depth (int): How many spans may be open at once; in the JSON formats, in how
        many a unit may lie.
    RETURNS (Callable[[Source], OutputGrammar]): Makes a grammar of a source.
    RAISES (ValueError): Two labels can't be told apart under the tokenizer.
    """
    if isinstance(fmt, InlineFormat):
        marks = make_marks(fmt, labels, encode)
        return partial(InlineGrammar, marks, max_depth=max_depth)
    pieces = make_json_pieces(fmt.name, labels, encode)
    return partial(JsonGrammar, pieces, max_depth=max_depth, encode=encode)
