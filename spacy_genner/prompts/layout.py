"""The prompt: what all documents share, and what stands around each text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os.path import commonprefix
from typing import Any

from ..errors import Errors
from .demonstrations import Demonstration, Neighbours
from .instructions import INSTRUCTIONS, SHORT_INSTRUCTIONS
from .template import read_template, render_around


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
