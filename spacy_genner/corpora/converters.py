"""The forms that corpora come in, by name."""

from ..errors import Errors
from .annotated import Converter
from .bracketed import read_bracketed
from .conll import read_conll, read_conll_nested
from .docbin import read_docbin
from .jsonl import read_jsonl

CONVERTERS: dict[str, Converter] = {
    "bracketed": read_bracketed,
    "conll": read_conll,
    "conll-nested": read_conll_nested,
    "docbin": read_docbin,
    "jsonl": read_jsonl,
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
