"""Corpora of any size, annotated by the workers of a Ray cluster."""

from .inputs import PART_SIZE
from .outputs import FORMATS, Summary
from .run import annotate_corpus, annotate_dataset
from .workers import Annotator

__all__ = [
    "FORMATS",
    "PART_SIZE",
    "Annotator",
    "Summary",
    "annotate_corpus",
    "annotate_dataset",
]
