"""What training fixes and saving keeps: labels, prompt and demonstrations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..corpora.docbin import load_docs
from ..errors import Errors
from ..formats import CharSpan, Format, InlineFormat, crossings
from ..grammar import markup_by_boundary
from ..io import parse_json
from ..prompts import Demonstration, PromptLayout, PromptSettings, Selection
from ..prompts.layout import INSTRUCTIONS, read_template

VERSION = 2
# Characters of a setting that a message shows.
_LENGTH = 60


@dataclass(frozen=True)
class ComponentState:
    """What training has fixed. Settings of use are the config's alone.

    labels (Dict[str, str]): Label to definition, which may be empty.
    format (str): The output format.
    readings (int): How often the prompt holds the text.
    prompt (PromptSettings): How the component asks.
    base (str): The base's name.
    demonstrations (Sequence[Demonstration]): What prompts may show as examples.
    checksum (Optional[str]): The base's checksum, None as long as nobody has asked.
    """

    labels: dict[str, str]
    format: str
    readings: int
    prompt: PromptSettings
    base: str
    demonstrations: Sequence[Demonstration] = ()
    checksum: str | None = None

    def layout(self, selection: Selection, tuned: bool) -> PromptLayout:
        """The prompt.

        selection (Selection): Which demonstrations it shows.
        tuned (bool): Whether the model has an adapter. One that is not tuned on the
            marks has to be told of them.
        RETURNS (PromptLayout): The prompt.
        RAISES (ValueError): `readings` is neither 1 nor 2, or the template's file
            could not be read.
        """
        own = "" if tuned else INSTRUCTIONS[self.format]
        return PromptLayout(
            tuple(self.labels),
            self.labels,
            instruction=self.prompt.instruction or own,
            format=self.format,
            readings=self.readings,
            demonstrations=tuple(selection.shared(self.demonstrations)),
            neighbours=selection.neighbours(self.demonstrations),
            template=self.prompt.template,
        )

    def to_json(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): The state as JSON holds it."""
        return {
            "version": VERSION,
            # A list of pairs: the order is part of the format.
            "labels": [[label, text] for label, text in self.labels.items()],
            "format": self.format,
            "readings": self.readings,
            "prompt": {
                "template": self.prompt.template,
                "instruction": self.prompt.instruction,
                "chat": self.prompt.chat,
            },
            "demonstrations": [list(pair) for pair in self.demonstrations],
            "base": {"name": self.base, "checksum": self.checksum},
        }

    def differences(self, saved: "ComponentState") -> Iterator[tuple[str, str, str]]:
        """What a config says otherwise than training had it.

        saved (ComponentState): What training had.
        YIELDS (Tuple[str, str, str]): A setting, what the config has, and what was
            saved, shortened.
        """
        # Labels that the config leaves open are those of training.
        if self.labels and list(self.labels) != list(saved.labels):
            yield "labels", _shown(list(self.labels)), _shown(list(saved.labels))
        if self.readings != saved.readings:
            yield "readings", _shown(self.readings), _shown(saved.readings)
        for key in () if self.prompt.problem else ("template", "instruction", "chat"):
            own, other = getattr(self.prompt, key), getattr(saved.prompt, key)
            if own != other:
                yield f"prompt.{key}", _shown(own), _shown(other)

    @classmethod
    def from_bytes(cls, data: bytes) -> "ComponentState":
        """Read the JSON that is saved of what `to_json` gave.

        data (bytes): The JSON.
        RETURNS (ComponentState): The state.
        RAISES (ValueError): It is something else.
        """
        try:
            content = parse_json(data.decode("utf8"))
        except ValueError as error:
            raise ValueError(Errors.G418.format(reason=error)) from error
        try:
            if content["version"] not in (1, VERSION):
                raise ValueError(Errors.G417.format(found=content["version"]))
            return cls(
                labels={str(label): str(text) for label, text in content["labels"]},
                format=str(content["format"]),
                readings=int(content["readings"]),
                prompt=_prompt(content.get("prompt")),
                demonstrations=[
                    Demonstration(str(text), str(output))
                    for text, output in content["demonstrations"]
                ],
                base=str(content["base"]["name"]),
                checksum=str(content["base"]["checksum"]),
            )
        except (KeyError, TypeError, AttributeError) as err:
            raise ValueError(Errors.G418.format(reason=repr(err))) from err


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}..."


def _prompt(data: Any) -> PromptSettings:
    if data is None:
        # Of the first version, which had one template.
        return PromptSettings(read_template("compact"))
    chat = data["chat"] if isinstance(data["chat"], bool) else "auto"
    return PromptSettings(str(data["template"]), str(data["instruction"]), chat)


def read_demonstrations(
    path: str | None,
    vocab: Vocab,
    key: str,
    fmt: Format,
    labels: list[str],
    own_layout: bool = True,
) -> list[Demonstration]:
    """Write the documents of a file as the model is to write.

    path (Optional[str]): A `.spacy` file; None for no demonstrations.
    vocab (Vocab): The pipeline's vocabulary.
    key (str): The group of `doc.spans` that holds the spans.
    fmt (Format): The output format.
    labels (List[str]): The labels, in their order.
    own_layout (bool): Whether the outputs are as a model writes them under the
        grammar, with marks before white space; else as the format has them.
    RETURNS (List[Demonstration]): Text and output of each document.
    RAISES (ValueError): The file is missing or no DocBin, a label is unknown, or spans
        cross.
    """
    if path is None:
        return []
    if not Path(path).is_file():
        raise ValueError(Errors.G423.format(path=path))
    docs = load_docs(Path(path), vocab)
    # White space after the last token is no part of what a model is given.
    return [
        Demonstration(doc[:].text, _written(doc, key, fmt, labels, own_layout))
        for doc in docs
    ]


def _written(
    doc: Doc, key: str, fmt: Format, labels: list[str], own_layout: bool
) -> str:
    spans = list(doc.spans[key]) if key in doc.spans else []
    for span in spans:
        if span.label_ not in labels:
            raise ValueError(
                Errors.G303.format(label=span.label_, span=span.text, labels=labels)
            )
    said = [CharSpan(s.start_char, s.end_char, s.label_) for s in spans]
    if not (own_layout and isinstance(fmt, InlineFormat)):
        return fmt.render(doc[:].text, said, labels)
    crossed = crossings(said)
    if crossed:
        first, second = crossed[0]
        raise ValueError(Errors.G004.format(first=tuple(first), second=tuple(second)))
    places = [(span.start, span.end, labels.index(span.label_)) for span in spans]
    return _marked(doc, places, fmt, labels)


def _marked(
    doc: Doc, places: list[tuple[int, int, int]], fmt: InlineFormat, labels: list[str]
) -> str:
    """A marked document. Marks stand before the white space of the token after them:
    what is copied in an output is then, id for id, what stands in the text."""
    text = before = ""
    for token, (closed, opened) in zip(
        [*doc, None], markup_by_boundary(places, len(doc)), strict=True
    ):
        text += "".join(fmt.close_mark(labels[label]) for label in closed)
        text += "".join(fmt.open_mark(labels[label]) for label in opened)
        if token is not None:
            text += before + token.text
            before = token.whitespace_
    return text
