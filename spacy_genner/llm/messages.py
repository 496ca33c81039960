"""Prompts and completions: strings with the objects that belong to them.

spacy-llm passes prompts to models and completions to tasks as strings, and nothing
else. A subclass of `str` carries the text and its tokens to a model of this project,
and an error or the scores back.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..formats import CharSpan
from ..prompts import Demonstration, PromptLayout

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span


class PromptText(NamedTuple):
    """The text that a prompt asks about.

    words (tuple[str, ...]): The texts of its tokens.
    spaces (tuple[bool, ...]): Whether a single space follows each token.
    """

    words: tuple[str, ...]
    spaces: tuple[bool, ...]

    @property
    def text(self) -> str:
        """RETURNS (str): The text without trailing white space."""
        pairs = zip(self.words, self.spaces, strict=True)
        whole = "".join(word + " " * space for word, space in pairs)
        return whole[:-1] if self.spaces and self.spaces[-1] else whole


class Prompt(str):
    """A prompt with its text and layout.

    prompt (str): The prompt.
    subject (PromptText): The text to annotate.
    layout (PromptLayout): The labels, the format and the demonstrations of the prompt.
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
    """Make the prompt of a text.

    part (Doc | Span): The text.
    layout (PromptLayout): The layout of the prompt.
    more (Sequence[Demonstration]): The demonstrations of this text, the nearest first.
    RETURNS (Prompt): The prompt.
    """
    words = tuple(token.text for token in part)
    spaces = tuple(bool(token.whitespace_) for token in part)
    return Prompt(layout.render(part.text, more), PromptText(words, spaces), layout)


class Completion(str):
    """A completion with its error or scores.

    text (str): The output of the model in the format of the prompt. Empty if it failed.
    error (Exception | None): The reason of a failure.
    scored (Sequence[tuple[CharSpan, float]] | None): The spans with their
        probabilities, if the output was decoded under the grammar.
    """

    error: Exception | None
    scored: Sequence[tuple[CharSpan, float]] | None

    def __new__(
        cls,
        text: str = "",
        error: Exception | None = None,
        scored: Sequence[tuple[CharSpan, float]] | None = None,
    ) -> "Completion":
        made = super().__new__(cls, text)
        made.error = error
        made.scored = scored
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.error, self.scored)
