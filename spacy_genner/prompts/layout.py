"""The prompt: template, instruction, label definitions and demonstrations."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from os.path import commonprefix
from pathlib import Path
from typing import Any

from ..config.settings import PromptConfig
from ..errors import Errors, Warnings, warn
from .examples import Demonstration, Neighbours

TEMPLATES = ("compact", "study")
# A character for private use, which texts hold as good as never.
_SLOT = "\ue0f8"


def read_template(name: str, own: Sequence[str] = TEMPLATES) -> str:
    """Find a template.

    name (str): One of the project's own, or a file that ends in `.jinja` or `.j2`.
    own (Sequence[str]): The project's own that serve the purpose.
    RETURNS (str): Its source.
    RAISES (ValueError): That is no name of a template.
    RAISES (OSError): The file can't be read.
    """
    if name in own:
        return _own(name)
    path = Path(name)
    if path.suffix not in (".jinja", ".j2"):
        expected = ", ".join(own)
        raise ValueError(Errors.G107.format(found=name, expected=expected))
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OSError(Errors.G108.format(path=name, reason=error)) from error


def render_around(source: str, variables: Mapping[str, Any]) -> tuple[str, ...]:
    """Render a template around its `{{ text }}`.

    source (str): The template's source.
    variables (Mapping[str, Any]): What it may name, besides `text`. None of it is a
        template itself: braces in a definition or a demonstration stay braces.
    RETURNS (Tuple[str, ...]): What stands before the text, between one reading of it
        and the next, and after the last: one string more than it is read.
    RAISES (ValueError): The template can't be rendered, or does not hold the text.
    """
    slot = _SLOT
    # No string among the variables is as long a row of it as the longest, and one more.
    held = "\n".join(_strings(variables))
    while slot in held:
        slot += _SLOT
    try:
        written = _compiled(source).render({**variables, "text": slot})
    except Exception as error:
        # jinja2 raises whatever an expression raises.
        raise ValueError(Errors.G109.format(reason=error)) from error
    parts = tuple(written.split(slot))
    if len(parts) < 2:
        raise ValueError(Errors.G110)
    return parts


def _strings(value: Any) -> list[str]:
    """All strings in a string, a mapping or a sequence of such."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Sequence):
        return [text for item in value for text in _strings(item)]
    return []


@cache
def _own(name: str) -> str:
    folder = resources.files(__package__) / "templates"
    return (folder / f"{name}.jinja").read_text(encoding="utf-8")


@cache
def _compiled(source: str) -> Any:
    # Loaded by whoever renders: not by every pipeline that is made.
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    return environment.from_string(source)


_LISTED = "List every named entity of the text, as"

# The form of the output in full, for a model that is not trained on these prompts.
INSTRUCTIONS: dict[str, str] = {
    "inline_bracketed": (
        "Copy the text and mark every named entity in it, in this "
        "way: [entity | LABEL]."
    ),
    "inline_xml": (
        "Copy the text and mark every named entity in it, in this "
        "way: <LABEL>entity</LABEL>."
    ),
    "grouped_json": (
        f"{_LISTED} a JSON object: under each label the list of its entities in the "
        "order of the text, an empty list where there is none."
    ),
    "occurrence_json": (
        f'{_LISTED} a JSON list of objects with "text", "label" and '
        '"occurrence_index": which occurrence of that string in the text is meant, '
        "counted from 1."
    ),
    "offset_json": (
        f'{_LISTED} a JSON list of objects with "text", "label", "start" and "end": '
        "its first character, counted from 0, and the one after its last."
    ),
}

# A model that is tuned on it needs no word on the marks.
_COPY = "Copy the text and mark every named entity in it."
SHORT_INSTRUCTIONS = {
    **INSTRUCTIONS,
    "inline_bracketed": _COPY,
    "inline_xml": _COPY,
}


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
        settings = PromptConfig(**config)
        source, problem = "", ""
        try:
            source = read_template(settings.template)
        except OSError as error:
            # A saved component brings the template itself, to wherever it is loaded.
            problem = str(error)
        return cls(source, settings.instruction, settings.chat, problem)


# The output holds the text once more. As many tokens again are kept for its markup.
OUTPUT_FACTOR = 2


def text_room(limit: int, fixed: int, readings: int) -> int:
    """The maximum number of tokens of a text.

    limit (int): The maximum number of tokens of prompt and output.
    fixed (int): The number of tokens of the prompt without a text.
    readings (int): How many times the prompt holds the text.
    RETURNS (int): The number of tokens. Below 1 if there is no room.
    """
    return (limit - fixed) // (readings + OUTPUT_FACTOR)


@dataclass(frozen=True)
class PromptLayout:
    """How instruction, demonstrations, text and output follow one another.

    What is the same for all documents, the prefix, is run through the model once.
    After it come the text, `readings` times over, and the output. A causal model sees
    what follows a word only from the second reading on (Springer et al., "Repetition
    Improves Language Model Embeddings", 2024).

    labels (Tuple[str, ...]): The labels, in their order.
    definitions (Mapping[str, str]): What a label stands for; may lack some.
    instruction (str): What is to be done; by default in the format's words.
    format (str): The output format.
    readings (int): How often the text stands in the prompt: 1 or 2.
    demonstrations (Tuple[Tuple[str, str], ...]): Texts with their outputs that stand
        in every prompt.
    neighbours (Optional[Neighbours]): What chooses more of them for each text.
    template (str): The source of a jinja template.
    RAISES (ValueError): `readings` is something else. Where the prompt is first
        rendered: the template is broken.
    """

    labels: tuple[str, ...]
    definitions: Mapping[str, str] = field(default_factory=dict)
    instruction: str = ""
    format: str = "inline_bracketed"
    readings: int = 2
    demonstrations: tuple[tuple[str, str], ...] = ()
    neighbours: Neighbours | None = None
    template: str = field(default_factory=lambda: read_template("compact"))

    def __post_init__(self) -> None:
        if self.readings not in (1, 2):
            raise ValueError(Errors.G104.format(found=self.readings))

    @cached_property
    def prefix(self) -> str:
        """What stands at the start of every prompt, whatever its text."""
        alone = self._rendered(())[0]
        if self.neighbours is None:
            return alone
        # As far as it goes without a demonstration, too, in whole lines.
        probe = Demonstration("\ue0f9", "\ue0f9")
        shown = self._rendered([probe])[0].partition(probe.text)[0]
        same = commonprefix([alone, shown])
        return same[: same.rfind("\n") + 1]

    def around(self, more: Sequence[Demonstration] = ()) -> tuple[str, ...]:
        """What stands around a text, behind the prefix.

        more (Sequence[Demonstration]): The demonstrations of this text, the nearest
            first; they stand the other way round.
        RETURNS (Tuple[str, ...]): What stands before the text, between one reading of
            it and the next, and after the last.
        """
        if not more:
            return self._plain
        first, *rest = self._rendered(more[::-1])
        return (first[len(self.prefix) :], *rest)

    def written(self, text: str, more: Sequence[Demonstration] = ()) -> str:
        """The whole prompt, for a model that is given text.

        text (str): The text to be marked.
        more (Sequence[Demonstration]): The demonstrations of this text.
        RETURNS (str): The prompt.
        """
        return self.prefix + text.join(self.around(more))

    @cached_property
    def _plain(self) -> tuple[str, ...]:
        first, *rest = self._rendered(())
        return (first[len(self.prefix) :], *rest)

    def _rendered(self, more: Sequence[Demonstration]) -> tuple[str, ...]:
        shown = [*self.demonstrations, *more]
        variables: dict[str, Any] = {
            "instruction": self.instruction,
            "full_instruction": INSTRUCTIONS[self.format],
            "short_instruction": SHORT_INSTRUCTIONS[self.format],
            "labels": [
                {"name": label, "definition": self.definitions.get(label) or ""}
                for label in self.labels
            ],
            "format": self.format,
            "examples": [{"text": text, "output": output} for text, output in shown],
            "readings": self.readings,
            "output_cue": "Marked" if self.format.startswith("inline") else "Entities",
        }
        return render_around(self.template, variables)

    def fit_demonstrations(
        self, count: Callable[[str], int], limit: int | None, max_tokens: int
    ) -> "PromptLayout":
        """Keep the first demonstrations that leave room for texts: half of the model's
        positions, or more if the windows are small. A warning names the number of
        demonstrations that are left out.

        count (Callable[[str], int]): Counts the tokens of a text.
        limit (int | None): The maximum number of tokens of prompt and output. None for
            no limit.
        max_tokens (int): The maximum number of tokens of a window.
        RETURNS (PromptLayout): This layout, or one with fewer demonstrations.
        """
        shown = self.demonstrations
        if limit is None or not shown:
            return self
        room = limit - min((self.readings + OUTPUT_FACTOR) * max_tokens, limit // 2)

        def size(number: int) -> int:
            return count(replace(self, demonstrations=shown[:number]).prefix)

        # Each demonstration makes the prefix longer, so the sizes are sorted.
        kept = bisect_right(range(1, len(shown) + 1), room, key=size)
        if kept < len(shown):
            warn(Warnings.W402.format(kept=kept, count=len(shown), limit=limit))
        return replace(self, demonstrations=shown[:kept])

    def fit_neighbours(
        self,
        text: str,
        size: Callable[[Sequence[Demonstration]], int],
        limit: int | None,
    ) -> Sequence[Demonstration]:
        """Select the demonstrations of one text that fit into the model.

        text (str): The text.
        size (Callable[[Sequence[Demonstration]], int]): Counts the tokens of prompt and
            output with some demonstrations.
        limit (int | None): The maximum number of those tokens. None for no limit.
        RETURNS (Sequence[Demonstration]): The nearest demonstrations that fit, the
            nearest first.
        """
        if self.neighbours is None:
            return ()
        shown = list(self.neighbours.of(text))
        while shown and limit is not None and size(shown) > limit:
            shown.pop()
        return shown
