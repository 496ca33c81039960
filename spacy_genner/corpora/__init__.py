"""Annotated corpora: readers, writers and conversion between corpus formats.

The names below are imported at first use: the pipeline component needs one module of
this package, and loading a pipeline should not import the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .convert import DocMaker, convert_file
    from .docbin import UNALIGNED
    from .documents import (
        Annotated,
        ConversionCounts,
        Converter,
        ConvertOptions,
        Diagnostic,
        Sentence,
        WriteOptions,
        read_document_list,
    )
    from .forms import CONVERTERS, WRITERS, get_converter, get_writer

__all__ = [
    "Annotated",
    "CONVERTERS",
    "ConversionCounts",
    "ConvertOptions",
    "Converter",
    "Diagnostic",
    "DocMaker",
    "Sentence",
    "UNALIGNED",
    "WRITERS",
    "WriteOptions",
    "convert_file",
    "get_converter",
    "get_writer",
    "read_document_list",
]

_MODULES = {
    "Annotated": "documents",
    "CONVERTERS": "forms",
    "ConversionCounts": "documents",
    "ConvertOptions": "documents",
    "Converter": "documents",
    "Diagnostic": "documents",
    "DocMaker": "convert",
    "Sentence": "documents",
    "UNALIGNED": "docbin",
    "WRITERS": "forms",
    "WriteOptions": "documents",
    "convert_file": "convert",
    "get_converter": "forms",
    "get_writer": "forms",
    "read_document_list": "documents",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
