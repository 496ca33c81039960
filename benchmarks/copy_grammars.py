"""A context-free grammar in text form for the outputs of one text, in the bracketed
format, as a client sends it to a server. See `spacy_genner.export.gbnf`."""

from collections.abc import Sequence

from spacy_genner.export.gbnf import Rules, format_rules, gbnf, inline_rules
from spacy_genner.formats import InlineFormat, get_format
from spacy_genner.grammar import Source


def copy_rules(source: Source, labels: Sequence[str], max_depth: int) -> Rules:
    """RETURNS (dict[str, list[list[str]]]): The rules for one text, as `inline_rules`
    makes them."""
    fmt = get_format("inline_bracketed")
    assert isinstance(fmt, InlineFormat)
    return inline_rules(fmt, source, labels, max_depth)


def ebnf(rules: Rules) -> str:
    """RETURNS (str): The grammar in the notation of xgrammar and llama.cpp."""
    return gbnf(rules)


def lark(rules: Rules) -> str:
    """RETURNS (str): The grammar in the notation of llguidance."""
    return format_rules(rules, "start", ":")
