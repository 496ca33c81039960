"""The settings of a prompt, checked where the component is made."""

from dataclasses import dataclass
from typing import Any

from ..errors import Errors
from ..settings import check_choice
from .template import read_template


@dataclass(frozen=True)
class PromptSettings:
    """How a component asks.

    source (str): The source of a jinja template; empty where its file can't be read.
    instruction (str): What is to be done; empty for the format's own words.
    chat (Union[bool, str]): Whether the prompt is a turn of a chat, as the tokenizer's
        chat template has it; "auto" for a model without an adapter that has one.
    problem (str): Why the template's file can't be read.
    """

    source: str
    instruction: str = ""
    chat: bool | str = "auto"
    problem: str = ""

    @property
    def template(self) -> str:
        """RETURNS (str): The template's source.
        RAISES (ValueError): Its file can't be read, and no saved component holds it.
        """
        if self.problem:
            raise ValueError(self.problem)
        return self.source

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PromptSettings":
        """Check what the config says.

        config (Dict[str, Any]): The block `prompt`: `template` is a name or a file.
        RETURNS (PromptSettings): The settings.
        RAISES (ValueError): A setting is unknown or can't be used. A file that can't
            be read is a matter of whoever uses the template.
        """
        known = ("template", "instruction", "chat")
        unknown = sorted(set(config).difference(known))
        if unknown:
            raise ValueError(Errors.G112.format(found=unknown, known=", ".join(known)))
        chat = config.get("chat", "auto")
        if not isinstance(chat, bool):
            check_choice("prompt.chat", chat, ("auto", "true", "false"))
        source, problem = "", ""
        try:
            source = read_template(str(config.get("template") or "compact"))
        except OSError as error:
            # A saved component brings the template itself, to wherever it is loaded.
            problem = str(error)
        return cls(
            source,
            str(config.get("instruction") or ""),
            {"true": True, "false": False}.get(str(chat).lower(), "auto"),
            problem,
        )
