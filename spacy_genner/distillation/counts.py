"""What a run has made, in numbers."""

from collections import Counter
from dataclasses import dataclass, field

from ..outcomes import FAILED
from .grading import Graded


@dataclass
class Counts:
    """Counts over the documents of a run.

    total (int): Documents of the input, blank ones too.
    graded (int): Those that are not blank.
    usable (int): Those in the corpus.
    failed (int): Those that failed.
    with_issues (int): Those with an issue, failed ones too.
    spans (int): Spans in the corpus.
    scored (int): Those of all spans whose score is not 1.
    taken_out (int): Doubtful spans that were taken out of documents in the corpus.
    labels (Counter[str]): Spans in the corpus, by label.
    statuses (Counter[str]): Documents, by status.
    first_failure (str): Why the first failed.
    """

    total: int
    graded: int = 0
    usable: int = 0
    failed: int = 0
    with_issues: int = 0
    spans: int = 0
    scored: int = 0
    taken_out: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    first_failure: str = ""

    @property
    def blank(self) -> int:
        """RETURNS (int): Documents without text."""
        return self.total - self.graded

    @property
    def left_out(self) -> int:
        """RETURNS (int): Documents that did not fail, and are not in the corpus."""
        return self.graded - self.failed - self.usable

    def add(self, graded: Graded) -> None:
        """Count a document.

        graded (Graded): The document.
        """
        self.graded += 1
        self.statuses[graded.status] += 1
        self.with_issues += bool(graded.issues)
        scores = [*graded.scores, *graded.doubts]
        self.scored += sum(score not in (None, 1.0) for score in scores)
        if graded.status == FAILED:
            self.failed += 1
            reason = graded.why[0].removeprefix(f"{FAILED}: ")
            self.first_failure = self.first_failure or reason
        if graded.usable:
            self.usable += 1
            self.spans += len(graded.spans)
            self.taken_out += len(graded.doubtful)
            self.labels.update(span.label_ for span in graded.spans)
