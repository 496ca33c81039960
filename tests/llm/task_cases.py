"""A spacy-llm model that says what a test tells it, and pipelines with it."""

from collections.abc import Callable
from typing import Any, Iterable  # noqa: UP035

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy_llm.registry import registry

TEXT = "Lisbon hosts the University of Lisbon."
MARKED = "[Lisbon | GPE] hosts the [University of [Lisbon | GPE] | ORG]."
NESTED = [(0, 1, "GPE"), (3, 6, "ORG"), (5, 6, "GPE")]
LABELS = ["ORG", "GPE"]

_answering: dict[str, Callable[[Any], Any]] = {}


class Told:
    """A model that answers with a function of the prompt, and keeps the prompts."""

    def __init__(self, name: str, context_length: int | None):
        self.name = name
        self.prompts: list[list[Any]] = []
        if context_length is not None:
            self.context_length = context_length

    def __call__(self, prompts: Iterable[Iterable[Any]]) -> Iterable[Iterable[Any]]:
        asked = [list(each) for each in prompts]
        self.prompts += asked
        return [[_answering[self.name](prompt) for prompt in each] for each in asked]


@registry.llm_models("test.Told.v1")
def make_told(name: str, context_length: int | None = None) -> Told:
    return Told(name, context_length)


def told(
    answer: Any,
    task: str = "spacy-genner.SpanCat.v1",
    context_length: int | None = 10_000,
    component: dict[str, Any] | None = None,
    nlp: Language | None = None,
    **settings: Any,
) -> Language:
    """A pipeline whose model gives one answer, or what a function makes of a prompt."""
    name = f"answer-{len(_answering)}"
    _answering[name] = answer if callable(answer) else lambda prompt: answer
    nlp = nlp or spacy.blank("en")
    config = {
        "task": {"@llm_tasks": task, "labels": LABELS, **settings},
        "model": {
            "@llm_models": "test.Told.v1",
            "name": name,
            "context_length": context_length,
        },
        **(component or {}),
    }
    nlp.add_pipe("llm", config=config)
    return nlp


def found(doc: Doc, key: str = "sc") -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.label_) for span in doc.spans[key]]


def status(doc: Doc, key: str = "sc") -> str:
    return doc.spans[key].attrs["status"]


def codes(doc: Doc, key: str = "sc") -> list[str]:
    return [issue["code"] for issue in doc.spans[key].attrs["issues"]]


def marked(names: dict[str, str]) -> Callable[[Any], str]:
    """A model that marks the names that it sees, one token each, in brackets."""

    def answer(prompt: Any) -> str:
        words, spaces = prompt.subject
        pieces = [
            f"[{word} | {names[word]}]" if word in names else word for word in words
        ]
        pairs = zip(pieces, spaces, strict=True)
        return "".join(piece + " " * space for piece, space in pairs).rstrip()

    return answer
