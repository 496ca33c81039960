"""Tokenization of corpora: a fine tokenizer, and detokenization.

The fine tokenizer fits gold spans that end inside words. Detokenization restores the
text of corpora that are distributed as tokens.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise

from spacy.language import Language
from spacy.symbols import ORTH
from spacy.tokenizer import Tokenizer
from spacy.util import (
    compile_infix_regex,
    compile_prefix_regex,
    compile_suffix_regex,
)

from ..formats import CharSpan
from .documents import Annotated

_WORD = re.compile(r"\S+")
_OPENING = frozenset("([{¿¡«“‘„`") | {"``", "$", "£", "€", "#", "-LRB-", "-LSB-"}
_CLOSING = frozenset(".,;:!?%)]}»”’…") | {"...", "..", "''", "-RRB-", "-RSB-"}
# English clitics as the Penn Treebank separates them from the preceding word.
_CLITIC = re.compile(r"(n['’]t|['’](s|m|d|re|ve|ll))", re.IGNORECASE)
_CLITIC_BODY = re.compile(r"s|m|d|re|ve|ll|t", re.IGNORECASE)
_APOSTROPHES = ("'", "’")
# The planes of Unicode with characters, of 65,536 code points each. Planes 4 to 13 are
# empty, and 15 and 16 are for private use.
_PLANES = (0, 1, 2, 3, 14)


# The fine tokenizer


def make_fine_tokenizer() -> Callable[[Language], Tokenizer]:
    """Registered as `spacy-genner.FineTokenizer.v1`. The tokenizer splits words
    wherever letters, digits and other characters meet: `IL-2)-induced` becomes
    `IL - 2 ) - induced`.

    It extends the rules of the language, for languages that separate words by spaces,
    and is saved like any tokenizer of spaCy.

    RETURNS (Callable[[Language], Tokenizer]): Creates the tokenizer for a pipeline.
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
    """Select the exceptions that split a word (`don't`). Those that keep a word whole
    (`B.`, `:-)`) would prevent fine tokens."""
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
    """Build the pattern of a character that is neither letter nor digit, and the
    patterns of the positions between letters and digits.

    Marks and joiners (vowel signs, accents, variation selectors) belong to the
    preceding character, but `\\w` does not match them.
    """
    joined = _joined_characters()
    letter, digit = r"[^\W\d_]", r"\d"
    # The group is necessary: spaCy adds an anchor before or after each pattern.
    other = rf"(?:[^\w\s{joined}]|_)[{joined}]*"
    change = (
        rf"(?<={digit})(?={letter})",
        rf"(?<={letter})(?={digit})|(?<=[{joined}])(?={digit})",
    )
    return other, change


def _joined_characters() -> str:
    """Return the Unicode marks and format characters, as the inside of a character
    class."""
    codes = [
        code
        for plane in _PLANES
        for code in range(plane << 16, (plane + 1) << 16)
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


# Detokenization


def detokenize(texts: Iterable[Annotated]) -> Iterator[Annotated]:
    """Remove the spaces that tokenization inserted. Spans and sentence starts keep
    their characters.

    texts (Iterable[Annotated]): Tokenized texts.
    YIELDS (Annotated): The detokenized texts.
    """
    for annotated in texts:
        starts = annotated.sentence_starts
        removed = removable_spaces(annotated.text, starts or ())
        kept = set(range(len(annotated.text))).difference(removed)
        yield annotated._replace(
            text="".join(annotated.text[place] for place in sorted(kept)),
            spans=[
                CharSpan(
                    _moved(span.start, removed), _moved(span.end, removed), span.label
                )
                for span in annotated.spans
            ],
            sentence_starts=starts and [_moved(start, removed) for start in starts],
        )


def removable_spaces(text: str, sentence_starts: Iterable[int] = ()) -> list[int]:
    """Find the single spaces that only separate tokens.

    text (str): A tokenized text.
    sentence_starts (Iterable[int]): The offsets where sentences start, if they are
        known. The space before a sentence is kept, and quotes are paired within a
        sentence.
    RETURNS (list[int]): The offsets of the spaces, in order.
    """
    bounds = sorted({0, *sentence_starts, len(text)})
    removable: list[int] = []
    for start, end in pairwise(bounds):
        for line in re.finditer(r"[^\n]+", text[start:end]):
            words = list(_WORD.finditer(line.group()))
            sides = _attached_sides([word.group() for word in words])
            for index, (left, right) in enumerate(pairwise(words)):
                between = line.group()[left.end() : right.start()]
                if between == " " and (sides[index][1] or sides[index + 1][0]):
                    removable.append(start + line.start() + left.end())
    return removable


def _attached_sides(words: list[str]) -> list[tuple[bool, bool]]:
    """Return whether each word of a sentence attaches to the preceding word, and
    whether it attaches to the following word."""
    sides = [(word in _CLOSING or _is_clitic(word), word in _OPENING) for word in words]
    quotes = [place for place, word in enumerate(words) if word == '"']
    # The last of an odd number of quotes has no partner and stays separate.
    for opening, closing in zip(quotes[::2], quotes[1::2], strict=False):
        sides[opening], sides[closing] = (False, True), (True, False)
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        if word in _APOSTROPHES and place and _CLITIC_BODY.fullmatch(after):
            # Some tokenizers split a contraction into three tokens: we ' re.
            sides[place] = (words[place - 1][-1].isalnum(), True)
        elif word in _APOSTROPHES and place:
            # The apostrophe of a plural genitive (boys ') attaches. A quote does not.
            genitive = words[place - 1][-1] in "sS" and after[:1].isalpha()
            quoted = "'" in words[:place] or "‘" in words[:place]
            closing = word == "’" and "‘" in words[:place]
            sides[place] = (closing or (genitive and not quoted), False)
    return sides


def _is_clitic(word: str) -> bool:
    return _CLITIC.fullmatch(word) is not None


def _moved(place: int, removed: list[int]) -> int:
    return place - bisect_left(removed, place)
