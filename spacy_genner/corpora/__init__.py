"""Readers and writers of annotated corpora.

What is named here is imported when it is asked for: the component needs one module of
this room, and every pipeline would pay for the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .annotated import Annotated, Converter, ConvertOptions, Remark, Sentence
    from .counts import ConversionCounts
    from .docbin import UNALIGNED
    from .documents import read_document_list
    from .readers import CONVERTERS, get_converter
    from .to_docs import DocMaker, convert_file
    from .writers import WRITERS, get_writer
    from .writers.options import WriteOptions

_HOMES = {
    "Annotated": "annotated",
    "CONVERTERS": "readers",
    "ConversionCounts": "counts",
    "ConvertOptions": "annotated",
    "Converter": "annotated",
    "DocMaker": "to_docs",
    "Remark": "annotated",
    "Sentence": "annotated",
    "UNALIGNED": "docbin",
    "WRITERS": "writers",
    "WriteOptions": "writers.options",
    "convert_file": "to_docs",
    "get_converter": "readers",
    "get_writer": "writers",
    "read_document_list": "documents",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


__all__ = [
    "Annotated",
    "CONVERTERS",
    "ConversionCounts",
    "ConvertOptions",
    "Converter",
    "DocMaker",
    "Remark",
    "Sentence",
    "UNALIGNED",
    "WRITERS",
    "WriteOptions",
    "convert_file",
    "get_converter",
    "get_writer",
    "read_document_list",
]
