"""Corpus formats by name, one module each with its reader and writer."""

from collections.abc import Iterable
from pathlib import Path

from spacy.tokens import Doc, DocBin

from ...errors import Errors
from ...io import replaced_file
from ..docbin import read_docbin
from ..documents import ConversionCounts, Converter, WriteOptions, Writer
from .ace import read_ace2005
from .alpaca import read_alpaca, write_alpaca
from .bracketed import read_bracketed, write_bracketed
from .brat import read_brat, write_brat
from .conll import read_conll, read_conll_nested, write_conll, write_conll_nested
from .genia import read_genia
from .jsonl import read_jsonl, write_jsonl
from .ontonotes import read_conll_2012
from .pubtator import read_pubtator

CONVERTERS: dict[str, Converter] = {
    "ace2005": read_ace2005,
    "alpaca": read_alpaca,
    "bracketed": read_bracketed,
    "brat": read_brat,
    "conll": read_conll,
    "conll-2012": read_conll_2012,
    "conll-nested": read_conll_nested,
    "docbin": read_docbin,
    "genia-xml": read_genia,
    "jsonl": read_jsonl,
    "pubtator": read_pubtator,
}


def get_converter(name: str) -> Converter:
    """Find a converter.

    name (str): Its name.
    RETURNS (Converter): A function of a path and options that yields documents.
    RAISES (ValueError): There is none of that name.
    """
    if name not in CONVERTERS:
        raise ValueError(
            Errors.G501.format(name=name, expected=", ".join(sorted(CONVERTERS)))
        )
    return CONVERTERS[name]


def write_docbin(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a `.spacy` file, which is made in memory.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): Not used: documents are written as they are.
    counts (ConversionCounts): Gets nothing.
    """
    docbin = DocBin(store_user_data=True)
    for doc in docs:
        docbin.add(doc)
    with replaced_file(path) as fresh:
        fresh.write_bytes(docbin.to_bytes())


WRITERS: dict[str, Writer] = {
    "alpaca": write_alpaca,
    "bracketed": write_bracketed,
    "brat": write_brat,
    "conll": write_conll,
    "conll-nested": write_conll_nested,
    "docbin": write_docbin,
    "jsonl": write_jsonl,
    # What the file is called.
    "spacy": write_docbin,
}
# The endings of outputs that are read by their ending.
ENDINGS = {"alpaca": ".json", "docbin": ".spacy", "jsonl": ".jsonl", "spacy": ".spacy"}


def get_writer(name: str) -> Writer:
    """Find a writer.

    name (str): Its name.
    RETURNS (Writer): A function of documents, a path, options and counts.
    RAISES (ValueError): There is none of that name.
    """
    if name not in WRITERS:
        raise ValueError(
            Errors.G550.format(name=name, expected=", ".join(sorted(WRITERS)))
        )
    return WRITERS[name]
