"""The prompt: a prefix that all documents share, and the text to be marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import Errors
from .instructions import INSTRUCTIONS

# A model that is tuned on it needs no word on the marks.
COPY = "Copy the text and mark every named entity in it."


@dataclass(frozen=True)
class PromptLayout:
    """How instruction, text and output follow one another.

    The prefix is the same for all documents, so it is run through the model once.
    After it come the text, `readings` times over, the cue, and the output. A causal
    model sees what follows a word only from the second reading on (Springer et al.,
    "Repetition Improves Language Model Embeddings", 2024).

    labels (Tuple[str, ...]): The labels, in their order.
    definitions (Mapping[str, str]): What a label stands for; may lack some.
    instruction (str): The first line; by default that of the format.
    format (str): The output format.
    readings (int): How often the text stands in the prompt: 1 or 2.
    demonstrations (Tuple[Tuple[str, str], ...]): Texts with their marked outputs.
    """

    labels: tuple[str, ...]
    definitions: Mapping[str, str] = field(default_factory=dict)
    instruction: str = ""
    format: str = "inline_bracketed"
    readings: int = 2
    demonstrations: tuple[tuple[str, str], ...] = ()

    text_cue = "\nText:\n"
    again_cue = "\nText again:\n"

    def __post_init__(self) -> None:
        if self.readings not in (1, 2):
            raise ValueError(Errors.G104.format(found=self.readings))

    @property
    def output_cue(self) -> str:
        """What stands before the output."""
        return "\nMarked:\n" if self._copies else "\nEntities:\n"

    @property
    def prefix(self) -> str:
        """What stands before the text of every document, with the first cue."""
        own = COPY if self._copies else INSTRUCTIONS[self.format]
        lines = [self.instruction or own]
        if any(self.definitions.get(label) for label in self.labels):
            lines.append("Labels:")
            for label in self.labels:
                definition = self.definitions.get(label)
                lines.append(f"- {label}: {definition}" if definition else f"- {label}")
        else:
            lines.append("Labels: " + ", ".join(self.labels))
        prefix = "\n".join(lines)
        for text, output in self.demonstrations:
            prefix += self.text_cue + text + self.output_cue + output + "\n"
        return prefix + self.text_cue

    @property
    def _copies(self) -> bool:
        return self.format.startswith("inline")

    def written(self, text: str) -> str:
        """The whole prompt, for a model that is given text.

        text (str): The text to be marked.
        RETURNS (str): The prompt.
        """
        again = (self.again_cue + text) * (self.readings - 1)
        return self.prefix + text + again + self.output_cue

    def prompt_ids(
        self,
        text_ids: Sequence[int],
        again_ids: Sequence[int],
        output_ids: Sequence[int],
    ) -> list[int]:
        """What stands between the prefix and the output, as ids.

        text_ids (Sequence[int]): The ids of the text.
        again_ids (Sequence[int]): The ids of the cue before its second reading.
        output_ids (Sequence[int]): The ids of the cue before the output.
        RETURNS (List[int]): The ids.
        """
        ids = list(text_ids)
        for _ in range(self.readings - 1):
            ids += [*again_ids, *text_ids]
        return ids + list(output_ids)
