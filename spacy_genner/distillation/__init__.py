"""Distillation: turn the annotations of a teacher into a training corpus and a review
file, with a progress log from which an interrupted run resumes."""

from ..pipeline.texts import group_scores, span_records
from .corpus import check_corpus_path, corpus_writer
from .filtering import (
    DOUBTFUL_CHOICES,
    KEEP_CHOICES,
    FilterCounts,
    FilterResult,
    FilterRules,
    ReviewWriter,
    filter_entry,
    review_record,
)
from .progress_log import Entry, ProgressLog

__all__ = [
    "DOUBTFUL_CHOICES",
    "KEEP_CHOICES",
    "Entry",
    "FilterCounts",
    "FilterResult",
    "FilterRules",
    "ProgressLog",
    "ReviewWriter",
    "check_corpus_path",
    "corpus_writer",
    "filter_entry",
    "group_scores",
    "review_record",
    "span_records",
]
