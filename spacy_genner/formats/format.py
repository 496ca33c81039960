"""What every format is."""

from collections.abc import Iterable, Sequence

from ..errors import Errors
from .spans import CharSpan, Parsed, checked


class Format:
    """Spans written beside or into a text, and read back.

    name (str): The format's name.
    allows_crossing (bool): Whether spans may overlap in part.
    label_rule (str): What a label has to be, in words.
    """

    name: str
    allows_crossing: bool
    label_rule: str

    def is_legal(self, label: str) -> bool:
        """RETURNS (bool): Whether the format can carry a label."""
        raise AssertionError("abstract")

    def check_label(self, label: str) -> None:
        """Check that the format can carry a label.

        label (str): The label.
        RAISES (ValueError): It can't.
        """
        if not isinstance(label, str) or not self.is_legal(label):
            raise ValueError(
                Errors.G003.format(label=label, format=self.name, rule=self.label_rule)
            )

    def render(
        self, text: str, spans: Iterable[CharSpan], labels: Sequence[str] | None = None
    ) -> str:
        """Write the spans of a text.

        text (str): The text.
        spans (Iterable[CharSpan]): The spans; exact duplicates count once.
        labels (Optional[Sequence[str]]): The labels, whose order settles that of spans
            with one range.
        RETURNS (str): The output.
        RAISES (ValueError): A label is not legal; a span is empty, blank-edged or out
            of the text; two spans cross where the format can't say that.
        """
        unique = checked(text, spans, labels)
        for label in {span.label for span in unique}:
            self.check_label(label)
        return self.written(text, unique, labels)

    def written(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> str:
        """RETURNS (str): The output for spans that are checked and in order."""
        raise AssertionError("abstract")

    def unsayable(self, text: str, spans: Iterable[CharSpan]) -> list[CharSpan]:
        """The spans that an output would lose.

        text (str): The text.
        spans (Iterable[CharSpan]): The spans.
        RETURNS (List[CharSpan]): The lost ones, in order.
        """
        return []

    def parse(
        self, output: str, text: str, labels: Sequence[str] | None = None
    ) -> Parsed:
        """Read an output against its source.

        output (str): What a model wrote; anything.
        text (str): The source.
        labels (Optional[Sequence[str]]): The labels there are; None for any.
        RETURNS (Parsed): The spans, and what was wrong. No issue means that the output
            is what `render` gives for the spans.
        """
        raise AssertionError("abstract")
