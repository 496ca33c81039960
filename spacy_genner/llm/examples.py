"""Examples of a spacy-llm task: texts with their spans."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from spacy.training import Example

from ..corpora.docbin import aligned_spans
from ..errors import Errors
from ..formats import CharSpan, Format
from ..formats.json import Occurrence, occurrences, stands_alone
from ..prompts import Demonstration


class TaskExample(NamedTuple):
    """An annotated text, in no format yet.

    text (str): The text.
    spans (Tuple[CharSpan, ...]): Its spans.
    """

    text: str
    spans: tuple[CharSpan, ...]

    def to_json(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): The example as JSON holds it."""
        spans = [span._asdict() for span in self.spans]
        return {"text": self.text, "spans": spans}


def read_examples(examples: Any) -> list[TaskExample]:
    """Read the examples of a config.

    examples (Optional[Union[Iterable[Dict[str, Any]], Callable]]): Entries, or what
        gives them. An entry has `text` and `spans`: each with `start`, `end` and
        `label`, or, as spacy-llm's NER.v3 has them, with `text`, `is_entity` and
        `label`, in the order of the text.
    RETURNS (List[TaskExample]): The examples.
    RAISES (ValueError): One can't be used.
    """
    entries = examples() if callable(examples) else examples
    if entries is None:
        return []
    if isinstance(entries, (str, dict)) or not isinstance(entries, Iterable):
        expected = 'a list of examples, or a reader such as "spacy.FewShotReader.v1"'
        raise ValueError(
            Errors.G732.format(key="examples", found=entries, expected=expected)
        )
    return [_read_entry(number, entry) for number, entry in enumerate(entries, 1)]


def shown_example(example: Example, key: str) -> TaskExample:
    """An annotated document of training data as an example.

    example (Example): Its reference has the spans: those of the group, else the
        entities.
    key (str): The group of `doc.spans`.
    RETURNS (TaskExample): The example.
    """
    spans = aligned_spans(example.reference, key)
    said = (CharSpan(s.start_char, s.end_char, s.label_) for s in spans)
    return TaskExample(example.reference[:].text, tuple(said))


def demonstrations(
    examples: Sequence[TaskExample], fmt: Format, labels: Sequence[str]
) -> tuple[Demonstration, ...]:
    """Examples as a prompt shows them.

    examples (Sequence[TaskExample]): The examples.
    fmt (Format): The format that is asked for.
    labels (Sequence[str]): The labels, in their order.
    RETURNS (Tuple[Demonstration, ...]): Texts with their outputs.
    RAISES (ValueError): A label is not among the labels, or the format can't say the
        spans.
    """
    made = []
    for number, (text, spans) in enumerate(examples, 1):
        for span in spans:
            if span.label not in labels:
                reason = f"{span.label!r} is not among the labels {list(labels)}"
                raise _unusable(number, reason)
        lost = fmt.unsayable(text, spans)
        if lost:
            said = text[lost[0].start : lost[0].end]
            raise _unusable(number, f"{fmt.name} can't say where {said!r} is")
        try:
            output = fmt.render(text, spans, labels)
        except ValueError as error:
            raise _unusable(number, error) from error
        made.append(Demonstration(text, output))
    return tuple(made)


def _unusable(number: int, reason: Any) -> ValueError:
    return ValueError(Errors.G733.format(number=number, reason=reason))


def _read_entry(number: int, entry: Any) -> TaskExample:
    try:
        text, listed = entry["text"], entry["spans"]
        if not isinstance(text, str):
            raise TypeError(f"its text is {text!r}")
        spans: list[CharSpan] = []
        for said in listed:
            label = said["label"]
            if not isinstance(label, str):
                raise TypeError(f"a label is {label!r}")
            if "start" in said:
                spans.append(CharSpan(int(said["start"]), int(said["end"]), label))
            elif said.get("is_entity", True):
                spans.append(_found(text, said["text"], label, spans))
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise _unusable(number, reason) from error
    return TaskExample(text, tuple(spans))


def _found(text: str, string: str, label: str, earlier: Sequence[CharSpan]) -> CharSpan:
    """The place of a span that is named by its string alone: as a word of its own,
    and at or after the one before it in the list, where there is a choice."""
    last = earlier[-1].start if earlier else 0
    taken = {
        Occurrence(span.start, span.end) for span in earlier if span.label == label
    }
    places = [] if not string else occurrences(text, string)
    places = [place for place in places if place not in taken]
    if not places:
        raise ValueError(f"{string!r} is not in the text")
    place = min(
        places, key=lambda p: (not stands_alone(text, p), p.start < last, p.start)
    )
    return CharSpan(*place, label)
