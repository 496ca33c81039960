"""The words of a text, as alignment compares them."""

import re
from typing import NamedTuple

from .folding import fold, is_mark

# Scripts without spaces between words: Thai and Lao, Tibetan, Burmese, Khmer, the Tai
# scripts, Japanese and Chinese.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u3005-\u3007"
    "\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff"
    "\uaa60-\uaa7f\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_STARTS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")


class Word(NamedTuple):
    """A word, a punctuation character or a character of a script without spaces.

    start (int): The offset of its first character in the original string.
    end (int): The offset after its last character.
    text (str): Its folded characters.
    """

    start: int
    end: int
    text: str


def split_words(text: str) -> list[Word]:
    """Split a string into the words that are aligned.

    text (str): The string.
    RETURNS (list[Word]): The words, in order.
    """
    folded = fold(text)
    found = _WORD.finditer(folded.text)
    if folded.text.isascii():
        return [
            Word(folded.starts[m.start()], folded.ends[m.end() - 1], m.group())
            for m in found
        ]
    # Python's `\w` matches no marks. They belong to the letters before them, and so do
    # the letters after them, in scripts with spaces.
    groups: list[list[int]] = []
    marked = False
    for match in found:
        start, end = match.span()
        first = folded.text[start]
        if groups and groups[-1][1] == start and not folded.text[start - 1].isspace():
            if is_mark(first):
                groups[-1][1] = end
                marked = True
                continue
            before = folded.text[groups[-1][0]]
            if marked and is_spaced_letter(first) and is_spaced_letter(before):
                groups[-1][1] = end
                marked = False
                continue
        groups.append([start, end])
        marked = False
    return [
        Word(folded.starts[start], folded.ends[end - 1], folded.text[start:end])
        for start, end in groups
    ]


def is_spaced_letter(char: str) -> bool:
    """Check whether a character is part of a word of a script with spaces.

    char (str): The character.
    RETURNS (bool): Whether it is a letter, a digit or an underscore of such a script.
    """
    return (char.isalnum() or char == "_") and not is_unspaced(char)


def is_unspaced(word: str) -> bool:
    """Check whether a word belongs to a script without spaces.

    word (str): The word.
    RETURNS (bool): Whether its first character does.
    """
    return _STARTS_UNSPACED.match(word) is not None
