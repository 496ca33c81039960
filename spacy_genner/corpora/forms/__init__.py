"""The registry of corpus formats: one module a format, with its reader and writer."""

from ...errors import Errors
from ..docbin import read_docbin, write_docbin
from ..documents import Converter, Writer
from .ace import read_ace2005
from .alpaca import read_alpaca, write_alpaca
from .bracketed import read_bracketed, write_bracketed
from .brat import read_brat, write_brat
from .conll import read_conll, read_conll_nested, write_conll, write_conll_nested
from .doccano import write_doccano
from .genia import read_genia
from .jsonl import read_jsonl, write_jsonl
from .label_studio import write_label_studio, write_label_studio_min
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
    # One reader recognizes the exports of all tools. Users look for the tool's name.
    "doccano": read_jsonl,
    "genia-xml": read_genia,
    "jsonl": read_jsonl,
    "label-studio": read_jsonl,
    "label-studio-min": read_jsonl,
    "pubtator": read_pubtator,
}

WRITERS: dict[str, Writer] = {
    "alpaca": write_alpaca,
    "bracketed": write_bracketed,
    "brat": write_brat,
    "conll": write_conll,
    "conll-nested": write_conll_nested,
    "docbin": write_docbin,
    "doccano": write_doccano,
    "jsonl": write_jsonl,
    "label-studio": write_label_studio,
    "label-studio-min": write_label_studio_min,
    # Users know the format by the suffix of its files.
    "spacy": write_docbin,
}

# The required suffix of an output, for formats that other commands detect by suffix.
ENDINGS = {
    "alpaca": ".json",
    "docbin": ".spacy",
    "doccano": ".jsonl",
    "jsonl": ".jsonl",
    "label-studio": ".json",
    "label-studio-min": ".json",
    "spacy": ".spacy",
}


def get_converter(name: str) -> Converter:
    """Return the reader of a corpus format.

    name (str): The name of the format.
    RETURNS (Converter): A function of a path and options that yields documents.
    RAISES (ValueError): No reader has this name.
    """
    if name not in CONVERTERS:
        raise ValueError(
            Errors.G501.format(name=name, expected=", ".join(sorted(CONVERTERS)))
        )
    return CONVERTERS[name]


def get_writer(name: str) -> Writer:
    """Return the writer of a corpus format.

    name (str): The name of the format.
    RETURNS (Writer): A function of documents, a path, options and counts.
    RAISES (ValueError): No writer has this name.
    """
    if name not in WRITERS:
        raise ValueError(
            Errors.G550.format(name=name, expected=", ".join(sorted(WRITERS)))
        )
    return WRITERS[name]
