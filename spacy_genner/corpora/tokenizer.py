"""A tokenizer with finer tokens, for gold spans that end inside of words."""

import re
import sys
import unicodedata
from collections.abc import Callable
from functools import cache

from spacy.language import Language
from spacy.symbols import ORTH
from spacy.tokenizer import Tokenizer
from spacy.util import (
    compile_infix_regex,
    compile_prefix_regex,
    compile_suffix_regex,
)


def make_fine_tokenizer() -> Callable[[Language], Tokenizer]:
    """Registered as `spacy-genner.FineTokenizer.v1`: parts words wherever letters,
    digits and other characters change, `IL-2)-induced` into `IL - 2 ) - induced`.

    It is made of the language's own rules with further ones, for languages that part
    words by spaces, and saves as any tokenizer of spaCy's does.

    RETURNS (Callable[[Language], Tokenizer]): Makes the tokenizer for a pipeline.
    """

    def make(nlp: Language) -> Tokenizer:
        defaults = nlp.Defaults
        other, change = _patterns()
        prefixes = [*(defaults.prefixes or ()), other]
        suffixes = [*(defaults.suffixes or ()), other]
        infixes = [*(defaults.infixes or ()), other, *change]
        return Tokenizer(
            nlp.vocab,
            rules=_contractions(defaults.tokenizer_exceptions or {}),
            prefix_search=compile_prefix_regex(prefixes).search,
            suffix_search=compile_suffix_regex(suffixes).search,
            infix_finditer=compile_infix_regex(infixes).finditer,
        )

    return make


def _contractions(rules: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """The rules that part a word (`don't`). Those that keep one whole (`B.`, `:-)`)
    are what a fine tokenizer has to do without."""
    return {
        string: pieces
        for string, pieces in rules.items()
        if len(pieces) > 1
        and not any(
            "." in piece[ORTH] or any(char.isdigit() for char in piece[ORTH])
            for piece in pieces
        )
    }


@cache
def _patterns() -> tuple[str, tuple[str, str]]:
    """The pattern of one character that is no letter and no digit, and those of the
    places between letters and digits.

    Marks and joiners (vowel signs, accents, variation selectors) belong to the
    character before them, which `\\w` does not know.
    """
    joined = _joined_characters()
    letter, digit = r"[^\W\d_]", r"\d"
    # In brackets: spaCy puts an anchor in front of or behind each pattern.
    other = rf"(?:[^\w\s{joined}]|_)[{joined}]*"
    change = (
        rf"(?<={digit})(?={letter})",
        rf"(?<={letter})(?={digit})|(?<=[{joined}])(?={digit})",
    )
    return other, change


def _joined_characters() -> str:
    """The inside of a character class: Unicode's marks and format characters."""
    codes = [
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Mn", "Mc", "Me", "Cf")
    ]
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(
        re.escape(chr(first)) + ("-" + re.escape(chr(last)) if last > first else "")
        for first, last in ranges
    )
