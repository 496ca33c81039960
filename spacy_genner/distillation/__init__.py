"""What a teacher found in raw texts, as a training corpus and a file for review."""

from .corpus import check_corpus_path, corpus_writer
from .counts import Counts
from .grading import DOUBTFUL, KEEP, Graded, Rules, grade
from .journal import Entry, Journal
from .review import Review, review_record

__all__ = [
    "DOUBTFUL",
    "KEEP",
    "Counts",
    "Entry",
    "Graded",
    "Journal",
    "Review",
    "Rules",
    "check_corpus_path",
    "corpus_writer",
    "grade",
    "review_record",
]
