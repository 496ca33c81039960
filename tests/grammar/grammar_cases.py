"""Formats and a simple tokenizer, shared by the tests of the grammars."""

from collections.abc import Sequence

from spacy_genner.formats import get_format
from spacy_genner.grammar import InlineGrammar, Source, make_markup, make_source

BRACKETED = get_format("inline_bracketed")
XML = get_format("inline_xml")
WORDS = ["x", "yy", "[", "]", "|", "A", "A]", "<A>", "</A>", "<", "[[", " ", "\n", "é"]


def by_character(text: str) -> list[int]:
    """One id per character, so that tags and copies share as many ids as possible."""
    return [ord(character) for character in text]


def source_of(words: Sequence[str], spaces: Sequence[bool] | None = None) -> Source:
    return make_source(words, spaces or [True] * len(words), by_character)


def grammar_of(fmt, labels, words, spaces=None, max_depth=4) -> InlineGrammar:
    markup = make_markup(fmt, labels, by_character)
    return InlineGrammar(markup, source_of(words, spaces), max_depth)


def output_text(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))
