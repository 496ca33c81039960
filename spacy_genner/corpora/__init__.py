"""Readers and converters of annotated corpora."""

from .annotated import Annotated, Converter, ConvertOptions, Remark, Sentence
from .converters import CONVERTERS, get_converter
from .counts import ConversionCounts
from .documents import read_document_list
from .to_docs import UNALIGNED, DocMaker, convert_file
from .writers import WRITERS, get_writer
from .writing import WriteOptions

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
