"""What a teacher found in raw texts, as a training corpus and a file for review."""

from .corpus import check_corpus_path, corpus_writer
from .filtering import (
    DOUBTFUL,
    KEEP,
    FilterCounts,
    Graded,
    Review,
    Rules,
    grade,
    review_record,
)
from .progress_log import Entry, ProgressLog

__all__ = [
    "DOUBTFUL",
    "KEEP",
    "FilterCounts",
    "Entry",
    "Graded",
    "ProgressLog",
    "Review",
    "Rules",
    "check_corpus_path",
    "corpus_writer",
    "grade",
    "review_record",
]
