"""What a conversion has met, counted."""

from dataclasses import dataclass, field

from .annotated import Remark

LISTED = 5


@dataclass
class ConversionCounts:
    """What a conversion has met.

    documents (int): Documents written.
    empty (int): Documents without text, which are left out.
    sentences (int): Sentences, where the source parts them.
    spans (int): Spans, each once.
    duplicates (int): Spans that the source says more than once.
    unaligned (int): Those of `spans` that no token boundary fits.
    labels (Dict[str, int]): The spans of each label.
    examples (List[str]): The first few that do not fit.
    remarks (Dict[str, int]): What the reader of the source remarked on, by kind.
    left_out (Dict[str, int]): Spans that the form of the output can't say, by reason.
    changed (Dict[str, int]): What the form of the output can't say otherwise than
        changed, by what it is.
    listed (Dict[str, List[str]]): The first few of each of these kinds.
    """

    documents: int = 0
    empty: int = 0
    sentences: int = 0
    spans: int = 0
    duplicates: int = 0
    unaligned: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    remarks: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    listed: dict[str, list[str]] = field(default_factory=dict)

    def remark(self, remark: Remark) -> None:
        """Count something that a reader remarked on.

        remark (Remark): What it is.
        """
        self._note(self.remarks, remark.kind, remark.message)

    def leave_out(self, reason: str, span: str) -> None:
        """Count a span that the form of the output can't say.

        reason (str): Why, as one short phrase.
        span (str): The span, for the list.
        """
        self._note(self.left_out, reason, span)

    def change(self, kind: str, what: str) -> None:
        """Count something that the form of the output changes.

        kind (str): What it is, as one short phrase.
        what (str): Where, for the list.
        """
        self._note(self.changed, kind, what)

    def _note(self, counts: dict[str, int], kind: str, what: str) -> None:
        counts[kind] = counts.get(kind, 0) + 1
        texts = self.listed.setdefault(kind, [])
        if len(texts) < LISTED:
            texts.append(what)
