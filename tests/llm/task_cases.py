"""A spacy-llm model with scripted completions, and pipelines with it."""

from collections.abc import Callable
from typing import Any, Iterable  # noqa: UP035

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy_llm.registry import registry

TEXT = "Lisbon hosts the University of Lisbon."
OUTPUT = "[Lisbon | GPE] hosts the [University of [Lisbon | GPE] | ORG]."
NESTED = [(0, 1, "GPE"), (3, 6, "ORG"), (5, 6, "GPE")]
LABELS = ["ORG", "GPE"]

# Name of a model to the function that completes its prompts.
_scripts: dict[str, Callable[[Any], Any]] = {}


class ScriptedModel:
    """A model whose completions are a function of the prompt. It records the prompts.

    name (str): The name of the function.
    context_length (int | None): The context length. None for a model without the
        attribute.
    """

    def __init__(self, name: str, context_length: int | None):
        self.name = name
        self.prompts: list[list[Any]] = []
        if context_length is not None:
            self.context_length = context_length

    def __call__(self, prompts: Iterable[Iterable[Any]]) -> Iterable[Iterable[Any]]:
        received = [list(each) for each in prompts]
        self.prompts += received
        return [[_scripts[self.name](prompt) for prompt in each] for each in received]


@registry.llm_models("test.Scripted.v1")
def make_scripted_model(name: str, context_length: int | None = None) -> ScriptedModel:
    return ScriptedModel(name, context_length)


def llm_pipeline(
    completion: Any,
    task: str = "spacy-genner.SpanCat.v1",
    context_length: int | None = 10_000,
    component: dict[str, Any] | None = None,
    nlp: Language | None = None,
    **settings: Any,
) -> Language:
    """Create a pipeline with a scripted model.

    completion (Any): The completion, or a function of the prompt that returns it.
    task (str): The registered name of the task.
    context_length (int | None): The context length of the model.
    component (dict[str, Any] | None): Other settings of the component.
    nlp (Language | None): The pipeline to extend. None for a blank one.
    settings (Any): The settings of the task.
    """
    name = f"script-{len(_scripts)}"
    _scripts[name] = completion if callable(completion) else lambda prompt: completion
    nlp = nlp or spacy.blank("en")
    config = {
        "task": {"@llm_tasks": task, "labels": LABELS, **settings},
        "model": {
            "@llm_models": "test.Scripted.v1",
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


def tag_words(labels: dict[str, str]) -> Callable[[Any], str]:
    """Create a function that completes a prompt with some words of its text in markup.

    labels (dict[str, str]): Word to label.
    """

    def complete(prompt: Any) -> str:
        words, spaces = prompt.subject
        tagged = [
            f"[{word} | {labels[word]}]" if word in labels else word for word in words
        ]
        pairs = zip(tagged, spaces, strict=True)
        return "".join(word + " " * space for word, space in pairs).rstrip()

    return complete
