"""Text that was parted into tokens by spaces, put together again.

Only spaces go, so every offset of the tokenised text has its exact place in the other:
quotes and brackets that a treebank's tokenizer has rewritten (``, -LRB-) stay.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

from ...formats import CharSpan
from ..annotated import Annotated

_WORD = re.compile(r"\S+")
_OPENING = frozenset("([{¿¡«“‘„`") | {"``", "$", "£", "€", "#", "-LRB-", "-LSB-"}
_CLOSING = frozenset(".,;:!?%)]}»”’…") | {"...", "..", "''", "-RRB-", "-RSB-"}
# What English joins to the word before it, as the Penn Treebank parts it.
_CLITIC = re.compile(r"(n['’]t|['’](s|m|d|re|ve|ll))", re.IGNORECASE)
_CLITIC_BODY = re.compile(r"s|m|d|re|ve|ll|t", re.IGNORECASE)
_APOSTROPHES = ("'", "’")


def detokenized(texts: Iterable[Annotated]) -> Iterator[Annotated]:
    """Put texts together again; spans and sentences stay where they are.

    texts (Iterable[Annotated]): Tokenised texts.
    YIELDS (Annotated): The same without the spaces that a writer would not set.
    """
    for annotated in texts:
        starts = annotated.sentence_starts
        gone = needless_spaces(annotated.text, starts or ())
        kept = set(range(len(annotated.text))).difference(gone)
        yield annotated._replace(
            text="".join(annotated.text[place] for place in sorted(kept)),
            spans=[
                CharSpan(_moved(span.start, gone), _moved(span.end, gone), span.label)
                for span in annotated.spans
            ],
            sentence_starts=starts and [_moved(start, gone) for start in starts],
        )


def needless_spaces(text: str, sentence_starts: Iterable[int] = ()) -> list[int]:
    """Find the single spaces that only part tokens.

    text (str): A tokenised text.
    sentence_starts (Iterable[int]): Where sentences start, where that is known: no
        space goes before one, and quotes are paired within one.
    RETURNS (List[int]): Their places, in order.
    """
    bounds = sorted({0, *sentence_starts, len(text)})
    gone: list[int] = []
    for start, end in pairwise(bounds):
        for line in re.finditer(r"[^\n]+", text[start:end]):
            words = list(_WORD.finditer(line.group()))
            sides = _sides([word.group() for word in words])
            for index, (left, right) in enumerate(pairwise(words)):
                between = line.group()[left.end() : right.start()]
                if between == " " and (sides[index][1] or sides[index + 1][0]):
                    gone.append(start + line.start() + left.end())
    return gone


def _sides(words: list[str]) -> list[tuple[bool, bool]]:
    """Whether each word of a sentence is joined to the one before it, and to the one
    after it."""
    sides = [(word in _CLOSING or _is_clitic(word), word in _OPENING) for word in words]
    quotes = [place for place, word in enumerate(words) if word == '"']
    # The last of an odd number has no partner: it stays apart.
    for opening, closing in zip(quotes[::2], quotes[1::2], strict=False):
        sides[opening], sides[closing] = (False, True), (True, False)
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        if word in _APOSTROPHES and place and _CLITIC_BODY.fullmatch(after):
            # Some tokenizers make three of a contraction: we ' re.
            sides[place] = (words[place - 1][-1].isalnum(), True)
        elif word in _APOSTROPHES and place:
            # Of a plural's genitive, boys ' ; as a quote it stays apart.
            genitive = words[place - 1][-1] in "sS" and after[:1].isalpha()
            quoted = "'" in words[:place] or "‘" in words[:place]
            closing = word == "’" and "‘" in words[:place]
            sides[place] = (closing or (genitive and not quoted), False)
    return sides


def _is_clitic(word: str) -> bool:
    return _CLITIC.fullmatch(word) is not None


def _moved(place: int, gone: list[int]) -> int:
    return place - bisect_left(gone, place)
