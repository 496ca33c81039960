"""Other texts for the same annotation: exchanged mentions, random mentions, and masked
contexts.

A model that recognizes mentions by their context finds others in their place. A model
that has memorized mentions finds them without a context.

Mentions are exchanged as a whole: a span that no other span contains, with the spans
inside it. Spans that cross each other stay as they are.
"""

import random
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..corpora.documents import Annotated
from ..evaluation.breakdowns import UNSEEN, Mentions
from ..formats import CharSpan

# What stands for a word of a masked context.
MASK = "_"
_WORD = re.compile(r"\w+")


class Mention(NamedTuple):
    """The text of a span that no other span contains, with the spans in it.

    text (str): The text.
    label (str): The label of the whole text.
    inner (tuple[CharSpan, ...]): The spans inside, in characters of the text. Another
        label of the whole text is one of them.
    """

    text: str
    label: str
    inner: tuple[CharSpan, ...] = ()


class Changed(NamedTuple):
    """Texts with other mentions.

    texts (list[Annotated]): The texts.
    replaced (int): The number of mentions that were replaced.
    kept (int): The number of mentions that stayed, because they cross another one or
        because there is no other mention with their label.
    """

    texts: list[Annotated]
    replaced: int
    kept: int


def outer_mentions(text: Annotated) -> Iterator[tuple[CharSpan, Mention | None]]:
    """Divide the spans of a text into mentions that overlap no other mention.

    text (Annotated): The text.
    YIELDS (tuple[CharSpan, Mention | None]): The range of each mention with its label,
        in order, and the mention; None if spans in the range cross each other.
    """
    spans = sorted(set(text.spans), key=lambda span: (span.start, -span.end, span))
    while spans:
        first = spans[0]
        end = first.end
        cluster = [first]
        for span in spans[1:]:
            if span.start >= end:
                break
            cluster.append(span)
            end = max(end, span.end)
        spans = spans[len(cluster) :]
        place = CharSpan(first.start, end, first.label)
        if end > first.end:
            yield place, None
            continue
        inner = tuple(
            CharSpan(span.start - first.start, span.end - first.start, span.label)
            for span in cluster[1:]
        )
        yield place, Mention(text.text[first.start : end], first.label, inner)


def held_out_mentions(
    texts: Iterable[Annotated], seen: Mentions
) -> dict[str, list[Mention]]:
    """Collect the mentions that training has not seen, with any label.

    texts (Iterable[Annotated]): The texts.
    seen (Mentions): The mentions of the training data.
    RETURNS (dict[str, list[Mention]]): The distinct mentions by label, sorted.
    """
    found: dict[str, set[Mention]] = {}
    for text in texts:
        for _, mention in outer_mentions(text):
            if mention is not None and seen.kind(mention.text, mention.label) == UNSEEN:
                found.setdefault(mention.label, set()).add(mention)
    return {label: sorted(mentions) for label, mentions in sorted(found.items())}


def swap_mentions(
    texts: Sequence[Annotated], pool: Mapping[str, Sequence[Mention]], seed: int
) -> Changed:
    """Replace each mention by another one with its label.

    texts (Sequence[Annotated]): The texts.
    pool (Mapping[str, Sequence[Mention]]): The mentions to choose from, by label.
    seed (int): The random seed.
    RETURNS (Changed): The texts.
    """
    generator = random.Random(seed)

    def choose(mention: Mention) -> Mention | None:
        others = [each for each in pool.get(mention.label, ()) if each != mention]
        return generator.choice(others) if others else None

    return _replace_mentions(texts, choose)


def random_mentions(texts: Sequence[Annotated], seed: int) -> Changed:
    """Replace each mention by a random string of the same shape: letters by letters of
    the same case and digits by digits. Other characters stay.

    texts (Sequence[Annotated]): The texts.
    seed (int): The random seed.
    RETURNS (Changed): The texts. The spans are where they were.
    """
    generator = random.Random(seed)

    def choose(mention: Mention) -> Mention:
        return mention._replace(text=random_string(mention.text, generator))

    return _replace_mentions(texts, choose)


def random_string(text: str, generator: random.Random) -> str:
    """Make a random string of the shape of a text.

    text (str): The text.
    generator (Random): The random source.
    RETURNS (str): A string of the same length.
    """

    def other(character: str) -> str:
        if character.isdecimal():
            return generator.choice(string.digits)
        if character.isupper():
            return generator.choice(string.ascii_uppercase)
        if character.isalpha():
            return generator.choice(string.ascii_lowercase)
        return character

    return "".join(map(other, text))


def mask_contexts(texts: Iterable[Annotated]) -> list[Annotated]:
    """Replace each word outside of all spans by "_". Mentions, white space and
    punctuation stay.

    texts (Iterable[Annotated]): The texts.
    RETURNS (list[Annotated]): The masked texts.
    """
    return [_masked(text) for text in texts]


def _masked(text: Annotated) -> Annotated:
    places = [place for place, _ in outer_mentions(text)]
    return _rewrite(
        text, [(place, _cut_out(text, place)) for place in places], _mask_words
    )


def _mask_words(context: str) -> str:
    return _WORD.sub(MASK, context)


def _cut_out(text: Annotated, place: CharSpan) -> tuple[str, list[CharSpan]]:
    """A range of a text, and the spans in it, in characters of the range."""
    spans = [
        CharSpan(span.start - place.start, span.end - place.start, span.label)
        for span in text.spans
        if place.start <= span.start and span.end <= place.end
    ]
    return text.text[place.start : place.end], spans


def _replace_mentions(
    texts: Sequence[Annotated], choose: Callable[[Mention], Mention | None]
) -> Changed:
    changed, replaced, kept = [], 0, 0
    for text in texts:
        pieces = []
        for place, mention in outer_mentions(text):
            other = None if mention is None else choose(mention)
            if other is None:
                kept += 1
                pieces.append((place, _cut_out(text, place)))
            else:
                replaced += 1
                whole = CharSpan(0, len(other.text), other.label)
                pieces.append((place, (other.text, [whole, *other.inner])))
        changed.append(_rewrite(text, pieces))
    return Changed(changed, replaced, kept)


def _rewrite(
    text: Annotated,
    pieces: Iterable[tuple[CharSpan, tuple[str, list[CharSpan]]]],
    write_context: Callable[[str], str] = str,
) -> Annotated:
    """Write a text again with other pieces.

    text (Annotated): The text.
    pieces (Iterable[tuple[CharSpan, tuple[str, list[CharSpan]]]]): The ranges of the
        text to replace, in order, each with its new text and the spans in it.
    write_context (Callable[[str], str]): Writes the text between the ranges.
    RETURNS (Annotated): The new text. Starts of sentences move with the text; one
        inside a piece moves to its end.
    """
    made = ""
    spans: list[CharSpan] = []
    starts: list[int] | None = None if text.sentence_starts is None else []
    waiting = list(text.sentence_starts or ())
    position = 0
    end = CharSpan(len(text.text), len(text.text) + 1, "")
    for place, (piece, inner) in [*pieces, (end, ("", []))]:
        while starts is not None and waiting and waiting[0] < place.end:
            before = text.text[position : max(position, min(waiting[0], place.start))]
            inside = len(piece) if waiting[0] > place.start else 0
            starts.append(len(made) + len(write_context(before)) + inside)
            waiting.pop(0)
        made += write_context(text.text[position : place.start])
        spans += [
            CharSpan(span.start + len(made), span.end + len(made), span.label)
            for span in inner
        ]
        made += piece
        position = place.end
    return text._replace(
        text=made,
        spans=spans,
        sentence_starts=None if starts is None else sorted(set(starts)),
    )
