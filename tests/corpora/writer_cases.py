"""Documents to be written, and what comes back when they are read again."""

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
# A part of a word, which no token boundary fits.
OFF_GRID = Annotated("Postoslo is near.", [CharSpan(4, 8, "GPE")], "off", None)
PLAIN = Annotated("Nothing here.", [], "plain", None)


_MAKER = DocMaker()


def make_docs(*texts: Annotated) -> list[Doc]:
    """Docs of annotated texts."""
    return list(_MAKER(texts))


def write(docs: Iterable[Doc], path: Path, form: str, **options) -> ConversionCounts:
    """Write documents in a form; what was counted."""
    counts = ConversionCounts()
    get_writer(form)(docs, path, WriteOptions(**options), counts)
    return counts


def read(path: Path, form: str, **options) -> list[Annotated]:
    """Read a file in a form."""
    return list(get_converter(form)(path, ConvertOptions(**options)))


def without_space(text: str, spans: Iterable[CharSpan]) -> tuple[str, list[CharSpan]]:
    """A text and its spans, as if white space had no width."""
    places = [0]
    for char in text:
        places.append(places[-1] + (not char.isspace()))
    moved = {CharSpan(places[s.start], places[s.end], s.label) for s in spans}
    return "".join(text.split()), sorted(moved)
