"""Documents to write, and helpers that write and read them."""

from collections.abc import Iterable
from pathlib import Path

from spacy.tokens import Doc

from spacy_genner.corpora.convert import DocMaker
from spacy_genner.corpora.documents import (
    Annotated,
    ConversionCounts,
    ConvertOptions,
    WriteOptions,
)
from spacy_genner.corpora.forms import get_converter, get_writer
from spacy_genner.formats import CharSpan

TEXT = "Mara Quist left the University of Oslo.\nShe now works in Bergen."
SPANS = [
    CharSpan(0, 10, "PERSON"),
    CharSpan(20, 38, "ORG"),
    CharSpan(34, 38, "GPE"),
    CharSpan(34, 38, "LOC"),
    CharSpan(57, 63, "GPE"),
]
NESTED = Annotated(TEXT, SPANS, "letters/1", [0, 40])
# A span that is a part of a token.
OFF_GRID = Annotated("Postoslo is near.", [CharSpan(4, 8, "GPE")], "off", None)
PLAIN = Annotated("Nothing here.", [], "plain", None)


_MAKER = DocMaker()


def make_docs(*texts: Annotated) -> list[Doc]:
    """Create Docs from annotated texts."""
    return list(_MAKER(texts))


def write(
    docs: Iterable[Doc], path: Path, corpus_format: str, **options
) -> ConversionCounts:
    """Write documents in a corpus format and return the counts."""
    counts = ConversionCounts()
    get_writer(corpus_format)(docs, path, WriteOptions(**options), counts)
    return counts


def read(path: Path, corpus_format: str, **options) -> list[Annotated]:
    """Read a file in a corpus format."""
    return list(get_converter(corpus_format)(path, ConvertOptions(**options)))


def without_space(text: str, spans: Iterable[CharSpan]) -> tuple[str, list[CharSpan]]:
    """Remove the white space of a text and shift its spans."""
    places = [0]
    for char in text:
        places.append(places[-1] + (not char.isspace()))
    moved = {CharSpan(places[s.start], places[s.end], s.label) for s in spans}
    return "".join(text.split()), sorted(moved)
