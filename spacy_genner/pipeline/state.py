"""The state that training fixes and saving keeps: labels, prompt, demonstrations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..corpora.docbin import load_docs
from ..errors import Errors
from ..formats import CharSpan, Format, InlineFormat, crossings
from ..grammar import tags_by_boundary
from ..io import parse_json
from ..prompts import Demonstration, PromptLayout, PromptSettings, Selection
from ..prompts.layout import INSTRUCTIONS, read_template
from .score_map import ScoreMap

# The file of a saved component that holds the state.
STATE_FILE = "genner.json"
VERSION = 2
# The maximum number of characters of a setting in a message.
_LENGTH = 60


@dataclass(frozen=True)
class ComponentState:
    """The settings that training fixes. All other settings come from the config.

    labels (dict[str, str]): Label to definition, which may be empty.
    format (str): The output format.
    readings (int): How many times the prompt holds the text.
    prompt (PromptSettings): The settings of the prompt.
    base (str): The name of the base.
    demonstrations (Sequence[Demonstration]): The pool of demonstrations.
    checksum (str | None): The checksum of the base. None until it is computed.
    any_labels (bool): Whether the model was trained with many label sets, so that it
        follows the labels of the prompt.
    score_map (ScoreMap | None): Calibrates the scores of spans.
    replaced_labels (dict[str, str]): The labels of the config that `set_labels` has
        replaced. They do not replace the saved labels when the pipeline is loaded.
    """

    labels: dict[str, str]
    format: str
    readings: int
    prompt: PromptSettings
    base: str
    demonstrations: Sequence[Demonstration] = ()
    checksum: str | None = None
    any_labels: bool = False
    score_map: ScoreMap | None = None
    replaced_labels: dict[str, str] = field(default_factory=dict)

    def layout(self, selection: Selection, tuned: bool) -> PromptLayout:
        """Make the layout of the prompt.

        selection (Selection): Selects the demonstrations.
        tuned (bool): Whether the model has an adapter. Without one, the instruction
            describes the output format in full.
        RETURNS (PromptLayout): The layout.
        RAISES (ValueError): `readings` is neither 1 nor 2, or the file of the template
            could not be read.
        """
        default = "" if tuned else INSTRUCTIONS[self.format]
        return PromptLayout(
            tuple(self.labels),
            self.labels,
            instruction=self.prompt.instruction or default,
            format=self.format,
            readings=self.readings,
            demonstrations=tuple(selection.shared(self.demonstrations)),
            neighbours=selection.neighbours(self.demonstrations),
            template=self.prompt.template,
        )

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The state as JSON."""
        data = {
            "version": VERSION,
            # A list of pairs, since the order of the labels matters.
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
            "any_labels": self.any_labels,
        }
        # Earlier versions have no such keys.
        if self.score_map is not None:
            data["score_map"] = self.score_map.to_json()
        if self.replaced_labels:
            data["replaced_labels"] = [list(p) for p in self.replaced_labels.items()]
        return data

    def differences(self, saved: "ComponentState") -> Iterator[tuple[str, str, str]]:
        """Compare the settings of a config with the saved ones.

        saved (ComponentState): The saved state.
        YIELDS (tuple[str, str, str]): A setting, its value in the config and its saved
            value, both shortened.
        """
        # A config without labels takes the saved ones, and a model for any labels takes
        # those of the config.
        is_fixed = bool(self.labels) and not saved.any_labels
        if is_fixed and list(self.labels) != list(saved.labels):
            yield "labels", _shorten(list(self.labels)), _shorten(list(saved.labels))
        if self.readings != saved.readings:
            yield "readings", _shorten(self.readings), _shorten(saved.readings)
        for key in () if self.prompt.problem else ("template", "instruction", "chat"):
            found, other = getattr(self.prompt, key), getattr(saved.prompt, key)
            if found != other:
                yield f"prompt.{key}", _shorten(found), _shorten(other)

    @classmethod
    def from_bytes(cls, data: bytes) -> "ComponentState":
        """Read a saved state.

        data (bytes): The result of `to_json`, as JSON.
        RETURNS (ComponentState): The state.
        RAISES (ValueError): The data is no saved state.
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
                prompt=_read_prompt(content.get("prompt")),
                demonstrations=[
                    Demonstration(str(text), str(output))
                    for text, output in content["demonstrations"]
                ],
                base=str(content["base"]["name"]),
                checksum=str(content["base"]["checksum"]),
                any_labels=bool(content.get("any_labels", False)),
                replaced_labels={
                    str(label): str(text)
                    for label, text in content.get("replaced_labels", ())
                },
                score_map=_read_score_map(content.get("score_map")),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as err:
            if str(err).startswith("[G"):
                raise
            raise ValueError(Errors.G418.format(reason=repr(err))) from err


def _read_score_map(data: Any) -> ScoreMap | None:
    if data is None:
        return None
    try:
        return ScoreMap.from_json(data)
    except (ValueError, KeyError, TypeError) as err:
        raise ValueError(Errors.G418.format(reason=f"score_map: {err!r}")) from err


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}..."


def _read_prompt(data: Any) -> PromptSettings:
    if data is None:
        # The first version had one template and did not save it.
        return PromptSettings(read_template("compact"))
    chat = data["chat"] if isinstance(data["chat"], bool) else "auto"
    return PromptSettings(str(data["template"]), str(data["instruction"]), chat)


def read_demonstrations(
    path: str | None,
    vocab: Vocab,
    key: str,
    fmt: Format,
    labels: list[str],
    token_aligned: bool = True,
) -> list[Demonstration]:
    """Read annotated documents as demonstrations.

    path (str | None): A `.spacy` file. None for no demonstrations.
    vocab (Vocab): The vocabulary of the pipeline.
    key (str): The group of `doc.spans` with the spans.
    fmt (Format): The output format.
    labels (list[str]): The labels, in order.
    token_aligned (bool): Whether to place markup before white space, as a model does
        under the grammar. Otherwise the outputs are as the format renders them.
    RETURNS (list[Demonstration]): The text and the output of each document.
    RAISES (ValueError): The file is missing or no DocBin, a label is unknown, or spans
        cross.
    """
    if path is None:
        return []
    if not Path(path).is_file():
        raise ValueError(Errors.G423.format(path=path))
    docs = load_docs(Path(path), vocab)
    # The texts of documents are given to a model without trailing white space.
    return [
        Demonstration(doc[:].text, _render(doc, key, fmt, labels, token_aligned))
        for doc in docs
    ]


def _render(
    doc: Doc, key: str, fmt: Format, labels: list[str], token_aligned: bool
) -> str:
    spans = list(doc.spans[key]) if key in doc.spans else []
    for span in spans:
        if span.label_ not in labels:
            raise ValueError(
                Errors.G303.format(label=span.label_, span=span.text, labels=labels)
            )
    char_spans = [CharSpan(s.start_char, s.end_char, s.label_) for s in spans]
    if not (token_aligned and isinstance(fmt, InlineFormat)):
        return fmt.render(doc[:].text, char_spans, labels)
    crossed = crossings(char_spans)
    if crossed:
        first, second = crossed[0]
        raise ValueError(Errors.G004.format(first=tuple(first), second=tuple(second)))
    token_spans = [(s.start, s.end, labels.index(s.label_)) for s in spans]
    return _render_token_aligned(doc, token_spans, fmt, labels)


def _render_token_aligned(
    doc: Doc, spans: list[tuple[int, int, int]], fmt: InlineFormat, labels: list[str]
) -> str:
    """Render a document with markup before the white space of the next token. The ids
    of the copied text are then equal to the ids of the text in the prompt."""
    text = before = ""
    for token, (closed, opened) in zip(
        [*doc, None], tags_by_boundary(spans, len(doc)), strict=True
    ):
        text += "".join(fmt.close_tag(labels[label]) for label in closed)
        text += "".join(fmt.open_tag(labels[label]) for label in opened)
        if token is not None:
            text += before + token.text
            before = token.whitespace_
    return text
