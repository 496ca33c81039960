"""What a component asks for and how: what training fixes, and saving holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import Errors
from .prompts import Demonstration, PromptLayout, PromptSettings, Selection
from .prompts.instructions import INSTRUCTIONS
from .prompts.template import read_template
from .storage.json_values import parse_json

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
