"""Equivalent characters, such as typographic and plain quotes, in one form.

The formats compare outputs and texts in this form.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# Characters without a glyph: the soft hyphen, zero-width characters, directional marks
# and variation selectors.
_INVISIBLE = re.compile(
    "[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
_EQUIVALENT = {
    **dict.fromkeys(
        "\u2018\u2019\u201a\u201b\u2032\u2035\u02bc\u00b4\u2039\u203a", "'"
    ),
    **dict.fromkeys(
        "\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\u301d\u301e\u301f", '"'
    ),
    **dict.fromkeys(
        "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\ufe58\ufe63\uff0d", "-"
    ),
    "\u2026": "...",
    "\u3000": " ",
    "\uff07": "'",
    **{
        chr(code): chr(code - 0xFEE0)
        for code in range(0xFF01, 0xFF5F)
        if code != 0xFF0D
    },
    # Ligatures and the half-width forms of Japanese and Korean.
    **{
        chr(code): unicodedata.normalize("NFKC", chr(code))
        for code in [
            *range(0xFB00, 0xFB07),
            *range(0xFF61, 0xFFDD),
            *range(0xFFE0, 0xFFE7),
        ]
        if unicodedata.category(chr(code)) != "Cn"
    },
}
# The vowels and final consonants of Korean syllables that are written as letters.
_JAMO = re.compile("[\u1160-\u11ff\ud7b0-\ud7fb]")


class Folded(NamedTuple):
    """A string in which equivalent characters are equal.

    text (str): The folded string.
    starts (Sequence[int]): For each of its characters, the offset in the original at
        which the character that it stands for starts.
    ends (Sequence[int]): The offsets at which these characters end.
    """

    text: str
    starts: Sequence[int]
    ends: Sequence[int]


def fold(text: str, loose: bool = False) -> Folded:
    """Replace equivalent characters by the same ones.

    Composed and decomposed letters are equal (Unicode's canonical equivalence), and so
    are full-width and plain forms, typographic and plain quotes, and all hyphens and
    dashes. Soft hyphens and other invisible characters are removed.

    text (str): The text.
    loose (bool): Whether to ignore case and remove white space, too.
    RETURNS (Folded): The folded text with the offsets of its characters.
    """
    if text.isascii() and not loose:
        return Folded(text, range(len(text)), range(1, len(text) + 1))
    folded: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end, cluster in _clusters(text):
        if len(cluster) == 1:
            cluster = _EQUIVALENT.get(cluster, cluster)
        elif not cluster.isascii():
            base = _EQUIVALENT.get(cluster[0], cluster[0])
            cluster = unicodedata.normalize("NFC", base + cluster[1:])
        if loose:
            cluster = "".join(cluster.casefold().split())
        for char in cluster:
            folded.append(char)
            starts.append(start)
            ends.append(end)
    return Folded("".join(folded), starts, ends)


def _clusters(text: str) -> Iterator[tuple[int, int, str]]:
    """Split a text into characters with their marks, without invisible characters."""
    begin, cluster = 0, ""
    parts: list[str] = []
    end = 0
    for at, char in enumerate(text):
        if char >= "\u00ad":
            if _INVISIBLE.match(char):
                continue
            if parts and _is_continued(char):
                parts.append(char)
                end = at + 1
                continue
        if parts:
            cluster = parts[0] if len(parts) == 1 else "".join(parts)
            yield begin, end, _composed(cluster)
        begin, end, parts = at, at + 1, [char]
    if parts:
        yield begin, end, _composed("".join(parts))


def _is_continued(char: str) -> bool:
    """Whether a character continues the one before it: a mark or a part of a Korean
    syllable."""
    return is_mark(char) or _JAMO.match(char) is not None


def is_mark(char: str) -> bool:
    """Check whether a character is a mark, which belongs to the letter before it.

    char (str): The character.
    RETURNS (bool): Whether its Unicode category is Mark.
    """
    return char >= "\u0300" and unicodedata.category(char)[0] == "M"


def _composed(cluster: str) -> str:
    return cluster if cluster.isascii() else unicodedata.normalize("NFC", cluster)
