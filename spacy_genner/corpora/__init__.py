"""Readers and converters of annotated corpora."""

from .annotated import Annotated, Converter, ConvertOptions, Remark, Sentence
from .counts import ConversionCounts
from .documents import read_document_list
from .readers import CONVERTERS, get_converter
from .to_docs import UNALIGNED, DocMaker, convert_file
from .writers import WRITERS, get_writer
from .writers.options import WriteOptions

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
