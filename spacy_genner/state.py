"""What a saved component holds besides its adapter."""

from dataclasses import dataclass
from typing import Any

from .errors import Errors
from .prompts import Demonstration, PromptSettings
from .prompts.template import read_template

VERSION = 2


@dataclass(frozen=True)
class SavedState:
    """What training has fixed. Settings of use are the config's alone.

    labels (Dict[str, str]): Label to definition, which may be empty.
    format (str): The output format.
    readings (int): How often the prompt holds the text.
    prompt (PromptSettings): How the component asks.
    demonstrations (List[Demonstration]): What prompts may show as examples.
    base (str): The base's name when it was saved.
    checksum (str): The base's checksum.
    """

    labels: dict[str, str]
    format: str
    readings: int
    prompt: PromptSettings
    demonstrations: list[Demonstration]
    base: str
    checksum: str

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

    @classmethod
    def from_json(cls, data: Any) -> "SavedState":
        """Read what `to_json` gave.

        data (Any): The data.
        RETURNS (SavedState): The state.
        RAISES (ValueError): It is something else.
        """
        try:
            if data["version"] not in (1, VERSION):
                raise ValueError(Errors.G417.format(found=data["version"]))
            return cls(
                labels={str(label): str(text) for label, text in data["labels"]},
                format=str(data["format"]),
                readings=int(data["readings"]),
                prompt=_prompt(data.get("prompt")),
                demonstrations=[
                    Demonstration(str(text), str(output))
                    for text, output in data["demonstrations"]
                ],
                base=str(data["base"]["name"]),
                checksum=str(data["base"]["checksum"]),
            )
        except (KeyError, TypeError) as err:
            raise ValueError(Errors.G418.format(reason=repr(err))) from err


def _prompt(data: Any) -> PromptSettings:
    if data is None:
        # Of the first version, which had one template.
        return PromptSettings(read_template("compact"))
    chat = data["chat"] if isinstance(data["chat"], bool) else "auto"
    return PromptSettings(str(data["template"]), str(data["instruction"]), chat)
