"""What goes to a model that is asked in text, and what comes back.

Both are strings with what belongs to them, so that they pass through code that knows
nothing of it: spacy-llm hands prompts to models and answers to tasks, and nothing else.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..formats import CharSpan
from ..prompts import Demonstration, PromptLayout

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span


class PromptText(NamedTuple):
    """The text that a question is about.

    words (Tuple[str, ...]): Its tokens.
    spaces (Tuple[bool, ...]): Whether a single space follows each.
    """

    words: tuple[str, ...]
    spaces: tuple[bool, ...]

    @property
    def text(self) -> str:
        """The text, without white space after its last token."""
        pairs = zip(self.words, self.spaces, strict=True)
        whole = "".join(word + " " * space for word, space in pairs)
        return whole[:-1] if self.spaces and self.spaces[-1] else whole


class Prompt(str):
    """A prompt, with what it asks about.

    prompt (str): The prompt as text.
    subject (PromptText): The text whose entities it asks for.
    layout (PromptLayout): Labels, format and demonstrations of the prompt.
    """

    subject: PromptText
    layout: PromptLayout

    def __new__(
        cls, prompt: str, subject: PromptText, layout: PromptLayout
    ) -> "Prompt":
        made = super().__new__(cls, prompt)
        made.subject = subject
        made.layout = layout
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.subject, self.layout)


def make_prompt(
    part: "Doc | Span", layout: PromptLayout, more: Sequence[Demonstration] = ()
) -> Prompt:
    """Write the question about a text.

    part (Union[Doc, Span]): The text.
    layout (PromptLayout): The prompt.
    more (Sequence[Demonstration]): The demonstrations of this text, the nearest first.
    RETURNS (Prompt): The question.
    """
    words = tuple(token.text for token in part)
    spaces = tuple(bool(token.whitespace_) for token in part)
    return Prompt(layout.written(part.text, more), PromptText(words, spaces), layout)


class Completion(str):
    """An answer, with what came with it.

    written (str): What the model wrote, in the format that was asked for; empty where
        it failed.
    error (Optional[Exception]): Why there is none.
    scored (Optional[Sequence[Tuple[CharSpan, float]]]): The spans with their
        probabilities, where a decoder that knows them wrote the answer.
    """

    error: Exception | None
    scored: Sequence[tuple[CharSpan, float]] | None

    def __new__(
        cls,
        written: str = "",
        error: Exception | None = None,
        scored: Sequence[tuple[CharSpan, float]] | None = None,
    ) -> "Completion":
        made = super().__new__(cls, written)
        made.error = error
        made.scored = scored
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.error, self.scored)
