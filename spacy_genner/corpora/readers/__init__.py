"""The forms that corpora come in, by name."""

from ...errors import Errors
from ..annotated import Converter
from ..docbin import read_docbin
from .ace import read_ace2005
from .alpaca import read_alpaca
from .bracketed import read_bracketed
from .brat import read_brat
from .conll import read_conll, read_conll_nested
from .conll2012 import read_conll_2012
from .genia import read_genia
from .jsonl import read_jsonl
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
