"""Other labels for the same spans: codes, exchanged names, and label sets that differ
from text to text.

If a model reads its labels and their definitions in the prompt, it follows them. If it
has memorized the names that it was tuned on, it keeps to its habit.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import NamedTuple

from ..corpora.documents import Annotated
from ..errors import Errors

# Labels and their definitions, in the order of the prompt.
Labels = dict[str, str]


class Renaming(NamedTuple):
    """Other names for labels.

    names (Mapping[str, str]): The other name of each label.
    labels (dict[str, str]): The other names with the definitions that they have in the
        prompt, in its order.
    """

    names: Mapping[str, str]
    labels: Labels


def letter(index: int) -> str:
    """Get the name of a column, as spreadsheets have it.

    index (int): The index, from 0.
    RETURNS (str): A, B, ..., Z, AA, AB, ...
    """
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, len(ascii_uppercase))
        name = ascii_uppercase[rest] + name
    return name


def as_letters(labels: Labels) -> Renaming:
    """Replace labels by A, B, C, ..., with the same definitions.

    labels (dict[str, str]): The labels and their definitions.
    RETURNS (Renaming): The letters, in the order of the labels.
    """
    names = {label: letter(index) for index, label in enumerate(labels)}
    return _renaming(labels, names, labels)


def as_codes(labels: Labels, generator: random.Random) -> Renaming:
    """Replace labels by random words of four capitals, with the same definitions, in
    random order.

    labels (dict[str, str]): The labels and their definitions.
    generator (Random): The random source.
    RETURNS (Renaming): The codes.
    """
    codes: set[str] = set()
    while len(codes) < len(labels):
        codes.add("".join(generator.choices(ascii_uppercase, k=4)))
    names = dict(zip(labels, sorted(codes), strict=True))
    order = generator.sample(list(labels), len(labels))
    return _renaming(labels, names, order)


def exchanged(labels: Labels) -> Renaming:
    """Exchange the names of labels in a circle: each definition gets the name of the
    next one, so that no definition keeps its name.

    labels (dict[str, str]): The labels and their definitions, at least two.
    RETURNS (Renaming): The exchanged names, in the order of the definitions.
    RAISES (ValueError): There are fewer than two labels.
    """
    ordered = list(labels)
    if len(ordered) < 2:
        raise ValueError(Errors.G942.format(found=ordered))
    names = dict(zip(ordered, [*ordered[1:], ordered[0]], strict=True))
    return _renaming(labels, names, ordered)


def shuffled(labels: Labels, generator: random.Random) -> Renaming:
    """Distribute the names of labels over their definitions at random, in random order.
    The result differs from `exchanged`, which is kept for evaluation.

    labels (dict[str, str]): The labels and their definitions, at least three.
    generator (Random): The random source.
    RETURNS (Renaming): The names, some of which may stay.
    """
    kept_out = exchanged(labels).names
    ordered = list(labels)
    while True:
        names = dict(zip(ordered, generator.sample(ordered, len(ordered)), strict=True))
        # Two labels have only one other arrangement.
        if names != kept_out or len(ordered) < 3:
            break
    order = generator.sample(ordered, len(ordered))
    return _renaming(labels, names, order)


def reordered(labels: Labels) -> Labels:
    """List labels in reverse order, with their own names and definitions.

    labels (dict[str, str]): The labels.
    RETURNS (dict[str, str]): The labels.
    """
    return dict(reversed(labels.items()))


def without_definitions(labels: Labels) -> Labels:
    """RETURNS (dict[str, str]): The labels with empty definitions."""
    return dict.fromkeys(labels, "")


def make_palette(labels: Labels, size: int, seed: int) -> list[Renaming]:
    """Make label sets for training: half of them with the names of the labels, shuffled
    over the definitions, and half with random codes.

    labels (dict[str, str]): The labels and their definitions.
    size (int): The number of label sets.
    seed (int): The random seed.
    RETURNS (list[Renaming]): The label sets.
    """
    generator = random.Random(seed)
    makers = (shuffled, as_codes)
    return [makers[index % 2](labels, generator) for index in range(size)]


def rename(texts: Iterable[Annotated], names: Mapping[str, str]) -> Iterator[Annotated]:
    """Give the spans of texts other labels.

    texts (Iterable[Annotated]): The texts.
    names (Mapping[str, str]): The other name of each label.
    YIELDS (Annotated): The texts with the other labels.
    RAISES (ValueError): A span has a label without another name.
    """
    for each in texts:
        for span in each.spans:
            if span.label not in names:
                raise ValueError(
                    Errors.G943.format(label=span.label, expected=list(names))
                )
        spans = [span._replace(label=names[span.label]) for span in each.spans]
        yield each._replace(spans=spans)


def assign(
    texts: Sequence[Annotated], palette: Sequence[Renaming], seed: int
) -> Iterator[tuple[Annotated, Labels]]:
    """Give each text one of several label sets, each to about as many texts.

    texts (Sequence[Annotated]): The texts.
    palette (Sequence[Renaming]): The label sets.
    seed (int): The random seed.
    YIELDS (tuple[Annotated, dict[str, str]]): The texts with renamed spans, and their
        labels with definitions.
    """
    turns = [palette[index % len(palette)] for index in range(len(texts))]
    random.Random(seed).shuffle(turns)
    for text, renaming in zip(texts, turns, strict=True):
        (renamed,) = rename([text], renaming.names)
        yield renamed, renaming.labels


def _renaming(
    labels: Labels, names: Mapping[str, str], order: Iterable[str]
) -> Renaming:
    return Renaming(names, {names[label]: labels[label] for label in order})
