"""Readers and converters of annotated corpora."""

from .annotated import Annotated, Converter, ConvertOptions, Sentence
from .converters import CONVERTERS, get_converter
from .to_docs import UNALIGNED, ConversionCounts, DocMaker, convert_file

__all__ = [
    "Annotated",
    "CONVERTERS",
    "ConversionCounts",
    "ConvertOptions",
    "Converter",
    "DocMaker",
    "Sentence",
    "UNALIGNED",
    "convert_file",
    "get_converter",
]
